//! Why templates are refused: every cause, in one list.

use serde::Serialize;

macro_rules! causes {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Machine-readable kind of a mistake; [`crate::TemplateError::detail`] describes it in words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Cause {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Cause {
            /// All causes.
            pub const ALL: &[Cause] = &[$(Cause::$name,)+];
        }
    };
}

causes! {
    /// The text is longer than [`crate::Limits::source_bytes_max`].
    SourceTooLong,
    /// There are more tags than [`crate::Limits::tags_max`].
    TooManyTags,
    /// Subexpressions or literals nest too deeply in one tag.
    TagTooDeep,
    /// Blocks nest deeper than [`crate::Limits::depth_max`].
    BlocksTooDeep,
    /// Nested loops have too many paths to prove.
    ProofTooLarge,
    /// A tag without its closing braces.
    TagNotClosed,
    /// `{{}}`
    EmptyTag,
    /// A tag that Handlebars can't read.
    Unreadable,
    /// Partials, decorators and raw blocks.
    Unsupported,
    /// A block that is never closed.
    BlockNotClosed,
    /// A closing tag without a block.
    CloseWithoutBlock,
    /// A closing tag that belongs to another block.
    WrongClose,
    /// `else` outside of any block.
    ElseOutside,
    /// A second `else` in a block.
    SecondElse,
    /// A name that begins with `else`.
    ElseName,
    /// No such helper.
    UnknownHelper,
    /// No such block.
    UnknownBlock,
    /// No such option of a helper or block.
    UnknownOption,
    /// A block's name in a tag without `#`.
    BlockAsTag,
    /// A block takes one argument.
    BlockArguments,
    /// A helper with the wrong number of arguments.
    ArgumentCount,
    /// A literal argument that the helper can't use.
    ArgumentValue,
    /// `join` belongs to `each`.
    JoinOutsideEach,
    /// `join` has to be a text in quotes.
    JoinNotConstant,
    /// `join` can't open or close brackets.
    JoinWithBrackets,
    /// `../` beyond the outermost context.
    AboveRoot,
    /// No such `@name`.
    UnknownLocal,
    /// `@index` or a similar variable outside of a loop.
    OutsideEach,
    /// A step below something that has none.
    NothingBelow,
    /// No such member of `antar`.
    UnknownMeta,
    /// `antar.attempt` outside of a header.
    AttemptOutsideHeader,
    /// A secret without a name.
    SecretName,
    /// A secret that a helper or block would read.
    SecretRead,
    /// A list in a URL or header, which take one text.
    ListInUrlOrHeader,
    /// A part that no event can reach.
    NeverReached,
    /// A text or tag whose place would differ between the turns of a loop.
    TwoMeanings,
    /// The paths through a block end at different depths.
    DifferentDepths,
    /// The paths through a block end in different states.
    DifferentStates,
    /// Text that is not valid JSON.
    NotJson,
    /// A comma before a closing bracket.
    TrailingComma,
    /// Two values without a comma between.
    MissingComma,
    /// A key without a colon after it.
    MissingColon,
    /// A key without quotes.
    KeyWithoutQuotes,
    /// A line break or control character in a JSON string.
    ControlInString,
    /// A tag right after a backslash in a JSON string.
    TagAfterBackslash,
    /// A tag that would continue a number.
    TagInNumber,
    /// A tag inside `true`, `false` or `null`.
    TagInWord,
    /// Literal arrays and objects nest deeper than [`crate::Limits::depth_max`].
    JsonTooDeep,
    /// The text can end without a JSON value.
    NoValue,
    /// The text ends inside a string.
    EndsInString,
    /// The text ends inside an array or object.
    EndsInBrackets,
    /// The text ends inside a number or word.
    EndsInValue,
    /// A URL that does not begin with `https://` or `http://`.
    UrlScheme,
    /// Spaces and control characters in a URL.
    UrlCharacter,
    /// A tag in the scheme.
    TagInScheme,
    /// A tag in the host without a list of allowed hosts.
    TagInHost,
    /// A secret in the host.
    SecretInHost,
    /// Scheme and host in one branch only.
    SchemeInBranch,
    /// A tag inside a markup tag, outside of quotes.
    TagInMarkupTag,
    /// A tag in a comment.
    TagInComment,
    /// A tag in a CDATA section.
    TagInCdata,
    /// A tag in a script, style or declaration.
    TagInScript,
    /// The text ends inside a markup tag, comment or script.
    EndsInMarkup,
    /// A tag in a body of an unknown content type.
    ContentTypeUnknown,
    /// Text that is not well-formed XML.
    NotXml,
    /// Content outside the root element.
    OutsideRootElement,
    /// The text can end without an element.
    NoRootElement,
    /// An end tag of another element, or of none.
    EndTagMismatch,
    /// The text ends inside an element.
    EndsInElement,
    /// Literal elements nest deeper than [`crate::Limits::depth_max`].
    MarkupTooDeep,
    /// `&` without a reference that XML defines.
    MarkupReference,
    /// An attribute that can occur twice in a tag.
    AttributeTwice,
    /// A character that is not allowed in a form.
    FormCharacter,
    /// A `%` without two hex digits after it.
    PercentUnfinished,
    /// A segment `.` or `..` in a URL's path.
    DotSegment,
    /// A URL without a host.
    NoHost,
}

impl Cause {
    /// What to do about it, unless the position suggests something better.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Cause::SourceTooLong | Cause::TooManyTags => "send fewer fields, or whole objects",
            Cause::TagTooDeep => "use fewer parentheses",
            Cause::BlocksTooDeep | Cause::ProofTooLarge => "nest fewer blocks",
            Cause::EmptyTag => "name a field, or write `\\{{` for the two characters",
            Cause::Unreadable | Cause::TagNotClosed => {
                "a tag is a path, or a helper with its arguments: `{{user.name}}`, `{{upper user.name}}`"
            }
            Cause::Unsupported => "write the text out where it is to stand",
            Cause::BlockNotClosed | Cause::CloseWithoutBlock | Cause::WrongClose => {
                "blocks open as `{{#if x}}` and close as `{{/if}}`"
            }
            Cause::ElseOutside | Cause::SecondElse => "a block has one `{{else}}` before its end",
            Cause::ElseName => "write `this.` before the name",
            Cause::UnknownHelper | Cause::UnknownBlock => {
                "the page on templates lists helpers and blocks; a field is named without arguments"
            }
            Cause::UnknownOption => {
                "take the option out, or write it as the page on templates has it"
            }
            Cause::BlockAsTag => "write it with `#` and close it",
            Cause::BlockArguments => "put several conditions into `(and a b)` or `(or a b)`",
            Cause::ArgumentCount | Cause::ArgumentValue => {
                "the page on templates lists what each helper takes"
            }
            Cause::JoinOutsideEach | Cause::JoinNotConstant | Cause::JoinWithBrackets => {
                "write a loop as `{{#each … join=\",\"}}`"
            }
            Cause::AboveRoot => "use fewer `../`, or begin with `@root`",
            Cause::UnknownLocal | Cause::OutsideEach => "put it into an `{{#each …}}`",
            Cause::NothingBelow => "take out what stands after it",
            Cause::UnknownMeta => {
                "`antar` holds delivery_id, event_id, event_type, timestamp, tenant, webhook, attributes and secret"
            }
            Cause::AttemptOutsideHeader => "put it into a header",
            Cause::SecretName => "write `{{antar.secret.NAME}}`",
            Cause::SecretRead => "write it as a tag of its own",
            Cause::ListInUrlOrHeader => "put it through `join`",
            Cause::NeverReached => "take the condition out that can't hold here",
            Cause::TwoMeanings => {
                "write the first turn like the others, with `join` for what stands between"
            }
            Cause::DifferentDepths | Cause::DifferentStates => {
                "move what opens and closes out of the block, or write both into each branch"
            }
            Cause::NotJson => "check the text before this place: quotes, commas and brackets",
            Cause::TrailingComma => "take the comma out",
            Cause::MissingComma => {
                "put a comma between; a part under a condition brings its own comma inside the block"
            }
            Cause::MissingColon => "put `:` between",
            Cause::KeyWithoutQuotes => "write keys like `\"name\": …`",
            Cause::ControlInString => "write `\\n`",
            Cause::TagAfterBackslash => "take the backslash out",
            Cause::TagInNumber | Cause::TagInWord => "put the whole value into the tag",
            Cause::JsonTooDeep => "write fewer levels out; a tag may hold any depth",
            Cause::NoValue => "write a value in every branch, such as `null`",
            Cause::EndsInString | Cause::EndsInBrackets | Cause::EndsInValue => "finish the value",
            Cause::UrlScheme | Cause::TagInScheme | Cause::SchemeInBranch => {
                "begin with `https://` and the host, outside of any block"
            }
            Cause::UrlCharacter => "write `%20` for a space",
            Cause::TagInHost | Cause::SecretInHost => "write the host out",
            Cause::TagInMarkupTag => "write `name=\"{{…}}\"`",
            Cause::TagInComment | Cause::TagInCdata | Cause::TagInScript => {
                "put it into text or a quoted attribute"
            }
            Cause::EndsInMarkup => "close the tag, its quotes or the comment",
            Cause::ContentTypeUnknown => {
                "set Content-Type to application/json, application/x-www-form-urlencoded, application/xml, text/html, text/markdown or text/plain, or to a type that ends in +json or +xml"
            }
            Cause::NotXml => "check the text before this place: tags, quotes and names",
            Cause::OutsideRootElement | Cause::NoRootElement => {
                "write one element around everything, outside of any block"
            }
            Cause::EndTagMismatch | Cause::EndsInElement => {
                "end each element that is begun, the last one first"
            }
            Cause::MarkupTooDeep => "write fewer levels out",
            Cause::MarkupReference => "for the character itself write `&amp;`",
            Cause::AttributeTwice => "write it once, with the condition inside its quotes",
            Cause::FormCharacter => "write it percent-encoded",
            Cause::PercentUnfinished => "for the character itself write `%25`",
            Cause::DotSegment => "write the path out that is meant",
            Cause::NoHost => "write the host after `https://`",
        }
    }
}
