//! What is configured: checked, kept apart, bounded, shown.

mod answers;
mod budgets;
mod errors;
mod isolation;
mod keys;
mod limits;
mod preview;
mod rights;
mod secrets;
mod sizes;
mod templates;
mod turns;
mod webhooks;
