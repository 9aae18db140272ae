//! Where rendered files are kept: a folder, or an object store that speaks S3.

mod digest;
mod folder;
mod key;
mod s3;

pub use self::folder::FolderKeeper;
pub use self::s3::{S3Keeper, S3Settings};

use outdial_domain::{Error, ErrorKind, Result};

/// Runs work that waits for a disk; it goes on to its end also when the future is dropped.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(ErrorKind::Internal, operation, "the work was broken off")
            .with_source(error)),
    }
}
