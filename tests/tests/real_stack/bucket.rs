//! Recordings in a bucket that is not always there. The calls are simulated, the S3 server is not.

use outdial_tests::{Desk, End, Gate, Outdial, Raw, Sound, Stack, until};
use serde_json::{Value, json};

const NUMBER: &str = "+15550200000";

/// A server whose recordings go through a gate into a folder of the bucket.
struct Scene {
    folder: &'static str,
    gate: Gate,
    outdial: Outdial,
    desk: Desk,
}

async fn scene(folder: &'static str) -> Scene {
    let stack = Stack::get();
    let gate = Gate::to(stack.s3_url.strip_prefix("http://").unwrap()).await;
    let (url, endpoint) = (stack.s3_folder(folder), format!("http://{}", gate.address()));
    let mut settings = stack.s3(&url, &endpoint).to_vec();
    settings.extend([("sandbox.time_scale", "0.1"), ("recordings.finish_within", "2s")]);
    let outdial = Outdial::start(&settings).await;
    let desk = Desk::new(&outdial, json!({}), json!({})).await;
    Scene { folder, gate, outdial, desk }
}

impl Scene {
    fn objects(&self) -> usize {
        Stack::get().s3_objects(self.folder).len()
    }

    /// Waits for the recording of a call, and compares the one object in the bucket with its record.
    async fn has_object(&self, room: &str) -> Value {
        let recording = self.desk.recording(room, "available").await;
        let objects = Stack::get().s3_objects(self.folder);
        assert_eq!(objects.len(), 1, "{objects:?}");
        let bytes = std::fs::read(&objects[0]).unwrap();
        assert_eq!(recording["bytes"], bytes.len());
        let fetched = fetch(&self.desk, room).await;
        assert_eq!(recording["sha256"], fetched.sha256());
        assert_eq!(fetched.bytes, bytes);
        let url = recording["url"].as_str().unwrap();
        assert!(url.ends_with(objects[0].file_name().unwrap().to_str().unwrap()), "{url}");
        assert!(Sound::of(&bytes).seconds() > 0.5);
        recording
    }
}

/// The recording, by the redirect to a URL that needs no key.
pub(crate) async fn fetch(desk: &Desk, room: &str) -> Raw {
    let redirect = desk.api.recording(room, &[]).await;
    assert_eq!(redirect.status, 302);
    let url = redirect.header("location").unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(url).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let file = Raw { status, headers, bytes: answer.bytes().await.unwrap().to_vec() };
    assert_eq!(file.status, 200);
    assert_eq!(file.header("content-type"), Some("audio/ogg; codecs=opus"));
    file
}

#[tokio::test]
async fn a_recording_is_an_object_until_its_call_is_erased() {
    let scene = scene("erased").await;
    let room = scene.desk.place(NUMBER).await;
    let record = scene.desk.ends(&room, End::completed("callee_hangup")).await;
    let recording = scene.has_object(&room).await;
    assert_eq!(record["recording_path"], recording["url"]);
    // The bucket is not public.
    let plain = reqwest::get(recording["url"].as_str().unwrap()).await.unwrap();
    assert_eq!(plain.status().as_u16(), 403);
    assert_eq!(scene.desk.api.erase(&room).await.status, 200);
    assert_eq!(scene.objects(), 0);
    assert_eq!(scene.desk.api.recording(&room, &[]).await.reply().refused(410), "call_erased");
}

#[tokio::test]
async fn away_during_the_call_and_back_later() {
    let scene = scene("away").await;
    scene.gate.shut();
    let room = scene.desk.place(NUMBER).await;
    let hook = scene.desk.one_webhook(&room).await.body["data"].take();
    assert_eq!(hook["recording_status"], "pending");
    assert_eq!(hook["recording_path"], Value::Null);
    let pending = scene.desk.recording(&room, "pending").await;
    assert_eq!(scene.objects(), 0, "{pending}");
    scene.gate.open();
    scene.has_object(&room).await;
    assert_eq!(scene.desk.webhooks(&room).len(), 1, "a webhook is not sent again for that");
}

#[tokio::test]
async fn a_crash_in_the_middle_of_the_upload() {
    let scene = scene("crash").await;
    scene.gate.swallow("PUT ");
    let room = scene.desk.place(NUMBER).await;
    scene.gate.has_stopped().await;
    scene.outdial.kill();
    assert_eq!(scene.objects(), 0);
    scene.gate.open();
    scene.outdial.restart().await;
    scene.has_object(&room).await;
    assert_eq!(Stack::get().s3_parts(), Vec::<std::path::PathBuf>::new());
    let hook = scene.desk.one_webhook(&room).await;
    assert_ne!(hook.body["data"]["recording_status"], "none");
}

/// The upload comes to its end, but nobody hears of it.
#[tokio::test]
async fn a_crash_right_after_the_upload() {
    let scene = scene("after").await;
    let room = scene.desk.place(NUMBER).await;
    until("an object", async || match scene.objects() {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    })
    .await;
    scene.outdial.kill();
    scene.outdial.restart().await;
    scene.has_object(&room).await;
    scene.desk.delivered(&room).await;
}

#[tokio::test]
async fn away_while_a_call_is_erased() {
    let scene = scene("stuck").await;
    let room = scene.desk.place(NUMBER).await;
    scene.desk.one_webhook(&room).await;
    scene.has_object(&room).await;
    scene.gate.shut();
    let decided = scene.desk.api.erase(&room).await;
    assert_eq!(decided.status, 202, "{}", decided.body);
    assert_eq!(scene.desk.api.call(&room, "").await.refused(410), "call_erased");
    assert_eq!(scene.objects(), 1);
    scene.outdial.kill();
    scene.gate.open();
    scene.outdial.restart().await;
    until("the object to be gone", async || match scene.objects() {
        0 => Ok(()),
        _ => Err("it is there".to_owned()),
    })
    .await;
    assert_eq!(scene.desk.api.erase(&room).await.status, 200);
}
