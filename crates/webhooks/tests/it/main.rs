//! The crate from outside: real sockets, and the `standardwebhooks` crate as the other side.

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod sender;
#[cfg(test)]
mod server;
#[cfg(test)]
mod sign;
