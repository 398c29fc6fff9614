use crate::dice::Dice;
use crate::grow::wasm;

pub(super) fn corpus() -> Vec<Vec<u8>> {
    vec![wasm::component(), wasm::module(), wasm::bare_module()]
}

pub(super) fn grow(dice: &mut Dice) -> Vec<u8> {
    wasm::sections(dice)
}

/// An upload is inspected or refused; the same one always in the same way.
pub(super) fn read(input: &[u8]) {
    let once = antar::plugin::inspect(input).map_err(|error| error.to_string());
    let again = antar::plugin::inspect(input).map_err(|error| error.to_string());
    assert_eq!(once, again);
}
