//! What README and guides show, run as written.

mod crm;
pub(crate) mod readme;
