//! Keys for a bridged call, through a node that does not have its leg.

use outdial_tests::{Bridge, Callee, Database, Desk, End, Law, Leg, Stack, Transport, settings_of};
use serde_json::json;

/// Nobody takes calls over from a node that stands still for a moment.
const LONG: (&str, &str) = ("node.lease", "60s");
const HUNG_UP: End = End::completed("callee_hangup");

/// A node that has the phone's leg, and another one, each with a bridge.
struct Scene {
    owner: Bridge,
    other: Bridge,
    callee: Callee,
    desk: Desk,
    url: String,
}

impl Scene {
    async fn start() -> Self {
        let url = Database::fresh().await.url();
        let settings = settings_of(&url, &[LONG]);
        let owner = Bridge::start(&settings).await;
        let other = owner.beside(&settings).await;
        other.outdial.is_ready().await;
        let callee = Callee::start(Transport::Tcp).await;
        let desk = Stack::get().exotel(&owner, &callee.address(), json!({})).await;
        Self { owner, other, callee, desk, url }
    }

    /// The phone rings.
    async fn ring(&self) -> (String, Leg) {
        let room = self.desk.place("+918044319295").await;
        let leg = self.callee.rings("08044319295").await;
        leg.ring().await;
        self.desk.reaches(&room, "ringing").await;
        (room, leg)
    }

    /// What is asked of the other node.
    fn there(&self) -> Desk {
        self.desk.through(&self.other.outdial)
    }
}

#[tokio::test]
async fn they_are_heard_once_and_in_order() {
    let _seat = Stack::seat().await;
    let scene = Scene::start().await;
    let (here, there) = (scene.desk.api.clone(), scene.there().api);
    let (room, mut leg) = scene.ring().await;
    let early = there.press(&room, "1").await;
    assert_eq!(early.refused(409), "conflict");
    leg.answer(Law::Pcma).await;
    scene.desk.reaches(&room, "in_progress").await;
    leg.media.hears_speech().await;
    let mut events = here.events(&room, None).await;

    there.press(&room, "1w#").await.data();
    here.press(&room, "2").await.data();
    there.press(&room, "ABCD*").await.data();
    leg.media.hears_keys("1#2ABCD*").await;
    for wrong in ["", "x", "123456789012345678901234567890123"] {
        assert_eq!(there.press(&room, wrong).await.refused(400), "invalid_field", "{wrong}");
    }
    // Requests at the same time stay whole.
    let both = tokio::join!(here.press(&room, "0123456789"), there.press(&room, "***********"));
    both.0.data();
    both.1.data();
    let pressed = leg.media.hears_so_many_keys(8 + 21).await;
    let orders = ["1#2ABCD*0123456789***********", "1#2ABCD************0123456789"];
    let orders = orders.map(str::to_owned);
    assert!(orders.contains(&pressed), "{pressed}");

    leg.reinvite(Law::Pcma, "sendonly").await;
    events.next_of("call_held").await;
    let held = there.press(&room, "3").await;
    assert_eq!(held.refused(409), "conflict");
    assert!(held.body.to_string().contains("on hold"), "{}", held.body);
    for desk in [&scene.desk, &scene.there()] {
        assert_eq!(desk.record(&room).await["held"], true);
        desk.api.events(&room, None).await.next_of("call_held").await;
    }
    let mut away = there.events(&room, None).await;
    away.next_of("call_held").await;
    leg.reinvite(Law::Pcma, "sendrecv").await;
    events.next_of("call_resumed").await;
    away.next_of("call_resumed").await;
    assert_eq!(scene.there().record(&room).await["held"], false);
    there.press(&room, "4").await.data();
    leg.media.hears_keys(&format!("{pressed}4")).await;

    // Events are of keys that the callee presses.
    leg.media.press("7");
    assert_eq!(events.next_of("dtmf").await.data["digit"], "7");
    leg.hang_up().await;
    scene.desk.ends(&room, HUNG_UP).await;
    assert_eq!(there.press(&room, "5").await.refused(409), "conflict");
    assert!(events.rest().await.iter().all(|event| event.kind != "dtmf"));
    assert_eq!(scene.callee.calls(), 1);
    assert!(scene.owner.outdial.node_id() != scene.other.outdial.node_id());
}

/// Where the callee takes no telephone events (RFC 4733), keys go by SIP INFO.
#[tokio::test]
async fn they_go_by_info_too() {
    let _seat = Stack::seat().await;
    let scene = Scene::start().await;
    let (here, there) = (scene.desk.api.clone(), scene.there().api);
    let (room, mut leg) = scene.ring().await;
    let sdp = leg.sdp_with(leg.media.port(), "8", "a=rtpmap:8 PCMA/8000\r\n", "sendrecv");
    leg.answer_with(Some(&sdp)).await;
    leg.media.speak_to(leg.invite.media_address().expect("an offer"), Law::Pcma);
    scene.desk.reaches(&room, "in_progress").await;
    let asking = tokio::spawn({
        let room = room.clone();
        async move {
            for (node, keys) in [(&there, "12"), (&here, "3"), (&there, "4")] {
                node.press(&room, keys).await.data();
            }
        }
    });
    for key in ["1", "2", "3", "4"] {
        let info = leg.wants("INFO").await;
        assert!(info.body.contains(&format!("Signal={key}")), "{}", info.body);
        leg.respond(&info, (200, "OK"), &[], None).await;
    }
    asking.await.unwrap();
    leg.hang_up().await;
    scene.desk.ends(&room, HUNG_UP).await;
}

/// The other node cannot reach LiveKit, or the leg's node stands still.
#[tokio::test]
async fn what_cannot_be_asked_is_said_to_be_unsent() {
    let _seat = Stack::seat().await;
    let scene = Scene::start().await;
    let there = scene.there().api;
    let settings = settings_of(&scene.url, &[LONG, ("livekit.url", "ws://127.0.0.1:9")]);
    let cut_off = scene.owner.beside(&settings).await.outdial;
    let (room, mut leg) = scene.ring().await;
    leg.answer(Law::Pcma).await;
    scene.desk.reaches(&room, "in_progress").await;
    leg.media.hears_speech().await;

    let unsent = cut_off.api().press(&room, "1").await;
    assert_eq!(unsent.refused(503), "leg_unavailable");
    assert!(unsent.body.to_string().contains("nothing was sent"), "{}", unsent.body);
    scene.owner.outdial.freeze();
    let unsure = there.press(&room, "2").await;
    scene.owner.outdial.thaw();
    assert_eq!(unsure.refused(503), "leg_unavailable");
    assert!(unsure.body.to_string().contains("may have been sent"), "{}", unsure.body);
    leg.hang_up().await;
    scene.desk.ends(&room, HUNG_UP).await;
}
