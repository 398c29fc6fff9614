//! The domain types, as plain data. Parsing validates them: a value that exists is valid. Nothing here
//! depends on HTTP, databases, clocks or plugins.

mod delivery;
mod event;
mod event_type;
mod fields;
mod ids;
mod invalid;
mod key;
mod order;
mod plugin;
mod profile;
mod replay;
mod retention;
mod retry;
mod secret;
mod signer;
mod source;
mod tenant;
mod time;
mod webhook;

pub use delivery::{
    Attempt, Delivery, Frozen, FrozenHeader, Response, SentRequest, Stage, State, reason,
};
pub use event::{
    Attributes, Event, EventKey, HOPS_HEADER, Hops, ROOT_HEADER, Root, document_of, is_hops_header,
};
pub use event_type::{Direction, EventTypeSpec, JsonText, SchemaMode};
pub use fields::Fields;
pub use ids::{
    DeliveryId, EventId, EventType, OWN_TYPES, PluginName, RejectionId, ReplayId, SecretName,
    SourceId, TenantId, TypeFilter, WebhookId, uuid_v7,
};
pub use invalid::{FieldError, Invalid, pointer_token};
pub use key::{ApiKey, KeyId, Scope};
pub use order::{Dedupe, Ordering, PerKey};
pub use plugin::{
    IntakeOnError, IntakePlugin, OnError, PluginKind, PluginMeta, PluginPool, PluginState,
    PluginUse,
};
pub use profile::{
    FacetSpec, Incoming, PayloadEntry, PayloadValue, ProfileSpec, RestOf, SecretSpec,
};
pub use replay::{Replay, ReplayOf, ReplayState, Selection};
pub use retention::RetentionSpec;
pub use retry::{Retry, RetrySpec, StatusFilter, Statuses};
pub use secret::Secret;
pub use signer::{Algorithm, Encoding, KeyName, Signer, StandardVersion};
pub use source::{
    AnswerSpec, BodyForm, BodySpec, Digest, Handshake, HandshakeMac, HandshakeToken, KeyEncoding,
    SignatureCheck, SignatureFields, SourceSpec, TimestampUnit, Verify,
};
pub use tenant::{DEFAULT_TENANT, TenantSpec};
pub use time::Millis;
pub use webhook::{FacetFilter, Headers, LimitsSpec, Method, WebhookSpec, is_of_connection};
