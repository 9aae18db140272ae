//! What the benchmarks have in common: a load generator, and a look at processes and the machine.

pub mod load;
pub mod machine;
