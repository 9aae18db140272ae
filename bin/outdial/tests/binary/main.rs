//! The command `outdial` as a person or a process manager meets it.

mod commands;
mod docs;
mod embedding;
mod moving;
mod program;
mod serving;
