//! Reading requests: everything is parsed once, here, into types that cannot hold a wrong value.

pub(crate) mod body;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod page;
pub(crate) mod query;
pub(crate) mod rules;
