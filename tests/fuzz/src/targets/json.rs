use antar_json::{Builder, Document, Kind, Limits, Scan, Value};

use crate::dice::Dice;
use crate::grow;

const LIMITS: Limits = Limits { bytes_max: 4 << 20, depth_max: 64 };

pub(super) fn corpus() -> Vec<Vec<u8>> {
    [
        r#"{"type":"a.b","data":{"z":1.0,"a":"\u00e9","n":8202522731445525542,"l":[null,true,{"x":[]}]}}"#,
        " [ 1 , -0.5e+3 , \"\\ud83d\\ude00\\n\" , { \"a.b\" : { \"c\" : \"\" } } ] ",
        r#"{"a":1,"a":2,"\u0061":3}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

pub(super) fn grow(dice: &mut Dice) -> Vec<u8> {
    grow::json::document(dice).into_bytes()
}

/// A text that is taken stays what it is: compact, equal to itself when it is read again or built from its
/// parts, and the scanner finds the same values.
pub(super) fn read(input: &[u8]) {
    let known = serde_json::from_slice::<serde::de::IgnoredAny>(input);
    let Ok(document) = Document::parse(input, LIMITS) else { return };
    assert!(known.is_ok(), "another reader refuses what was taken: {known:?}");
    let again = Document::parse(document.text().as_bytes(), LIMITS);
    assert!(again.is_ok_and(|again| again == document), "reading it again differs");
    let mut copy = Builder::new();
    copy.copy(document.root());
    assert!(copy.finish() == document, "a copy differs");
    let mut left = 20_000;
    compare(document.root(), Scan::new(document.text()), &mut left);
    for path in ["a", "data.a.b", "a.b.c", "", "..", "items.0"] {
        let _ = document.root().at(path).map(|value| value.raw().len());
    }
    let _ = document.root().to_serde();
}

fn compare(value: Value<'_>, scan: Scan<'_>, left: &mut usize) {
    if *left == 0 {
        return;
    }
    *left -= 1;
    assert_eq!((value.raw(), value.kind()), (scan.raw(), scan.kind()));
    assert_eq!(value.as_str(), scan.as_str());
    match value.kind() {
        Kind::Array => {
            let mut scanned = scan.elements();
            for element in value.elements() {
                let Some(scan) = scanned.next() else { panic!("the scanner misses an element") };
                compare(element, scan, left);
            }
            assert!(scanned.next().is_none(), "the scanner finds one more");
        }
        Kind::Object => {
            let mut scanned = scan.members();
            for (key, member) in value.members() {
                let Some((name, scan)) = scanned.next() else {
                    panic!("the scanner misses a member")
                };
                assert_eq!(key.raw(), name.raw());
                compare(member, scan, left);
            }
            assert!(scanned.next().is_none(), "the scanner finds one more");
        }
        _ => {}
    }
}
