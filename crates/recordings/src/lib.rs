#![doc = include_str!("../README.md")]

mod capture;
mod keeper;
mod recorder;
mod render;

pub use self::keeper::{FolderKeeper, S3Keeper, S3Settings};
pub use self::recorder::{Recorder, RecorderSettings, Swept};
pub use self::render::{RenderError, Rendered, render};
