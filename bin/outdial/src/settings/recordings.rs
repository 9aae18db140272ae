//! The section `recordings`.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::reader::{Read, Reader};
use super::sections::{Keeper, Recordings, S3, web_url};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MB: u64 = 1 << 20;

/// The value of `recordings.url`.
enum Place {
    Nowhere,
    Folder(Option<PathBuf>),
    Bucket(Url),
}

pub(super) fn read(reader: &Reader<'_>) -> Read<Recordings> {
    let (place, s3) = (reader.parsed("recordings.url", place), s3(reader));
    let finish_within = reader.duration("recordings.finish_within", SECOND..=DAY);
    let days = reader.integer("recordings.retention_days", 0..=36_500);
    let megabytes = reader.integer("recordings.max_capture_mb", 1..=u32::MAX);
    let render_threads = reader.integer("recordings.render_threads", 1..=64);
    let s3 = s3?;
    let keeper = match place? {
        Place::Nowhere => None,
        Place::Folder(folder) => Some(Keeper::Folder(folder)),
        Place::Bucket(url) => Some(Keeper::S3(Box::new(s3(url)))),
    };
    Ok(Recordings {
        keeper,
        finish_within: finish_within?,
        retention: match days? {
            0 => None,
            days => Some(DAY * days),
        },
        max_capture_bytes: u64::from(megabytes?) * MB,
        render_threads: render_threads?,
    })
}

fn place(text: &str) -> Result<Place, &'static str> {
    const RULE: &str = "must be \"file:\" (in data_dir), \
                        \"file:/path/to/folder\", \"s3://bucket\", \"s3://bucket/prefix\" or \"none\"";
    if text == "none" {
        return Ok(Place::Nowhere);
    }
    if let Some(path) = text.strip_prefix("file:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return Ok(Place::Folder((!path.is_empty()).then(|| PathBuf::from(path))));
    }
    let url = Url::parse(text).map_err(|_| RULE)?;
    let bucket = url.scheme() == "s3" && url.has_host();
    let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if bucket && bare && url.port().is_none() { Ok(Place::Bucket(url)) } else { Err(RULE) }
}

/// Everything about a bucket but its name.
fn s3(reader: &Reader<'_>) -> Read<impl FnOnce(Url) -> S3 + use<>> {
    let region = reader.text("recordings.s3_region");
    let endpoint = reader.parsed("recordings.s3_endpoint", |text| match web_url(text) {
        _ if text.is_empty() => Ok(None),
        Some(url) => Ok(Some(url)),
        None => Err("must be a URL like \"https://minio.example.com\""),
    });
    let path_style = reader.flag("recordings.s3_path_style");
    let access_key = reader.text("recordings.s3_access_key");
    let secret_key = reader.secret("recordings.s3_secret_key");
    let credentials = match (access_key?, secret_key?) {
        (key, None) if key.is_empty() => None,
        (key, Some(secret)) if !key.is_empty() => Some((key, secret)),
        (key, _) => {
            let (missing, set) = if key.is_empty() {
                ("recordings.s3_access_key", "recordings.s3_secret_key")
            } else {
                ("recordings.s3_secret_key", "recordings.s3_access_key")
            };
            return Err(reader.problem(format!("{missing} is missing: {set} is set")));
        }
    };
    let (region, endpoint, path_style) = (region?, endpoint?, path_style?);
    let region = (!region.is_empty()).then_some(region);
    Ok(move |url| S3 { url, region, endpoint, path_style, credentials })
}
