//! What is configured: checked, kept apart, bounded, shown.

mod budgets;
mod errors;
mod isolation;
mod keys;
mod limits;
mod preview;
mod secrets;
mod sizes;
mod templates;
mod turns;
mod webhooks;
