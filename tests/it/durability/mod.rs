//! What survives crashes, faults and other nodes.

mod crash;
mod faults;
mod nodes;
mod recovery;
mod simulation;
