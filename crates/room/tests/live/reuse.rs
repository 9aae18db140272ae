//! The server uses the m-line of a track that is gone for the next one.

use outdial_room::{AudioCodec, JoinOptions};
use serde_json::json;

use crate::guest::Guest;
use crate::judge::Judge;
use crate::stack::{Place, seat};

async fn agents_come_and_go(options: JoinOptions) {
    let _seat = seat().await;
    let place = Place::shared("reuse");
    let guest = Guest::join(&place.url, &place.token("guest"), options).await;
    let phone = Guest::joined(&place, "phone").await;
    phone.plays(AudioCodec::Pcma, 440.0).await;
    let callee = guest.listens_to("phone").await;
    let judge = Judge::start().await;
    let mut last = None;
    for (identity, hz) in [("first", 1000.0), ("second", 1300.0), ("third", 700.0), ("last", 900.0)]
    {
        judge.join(&place, identity).await;
        judge.plays(hz).await;
        let ear = guest.listens_to(identity).await;
        ear.hears(0, 2, |heard| heard.is_clean(hz)).await;
        assert!(ear.is_whole(), "{} lost", ear.lost());
        judge.obeys("leave", json!({})).await;
        place.until_listed(identity, false).await;
        if let Some((ear, packets)) = last.replace((ear.clone(), ear.packets())) {
            let ear: crate::tone::Ear = ear;
            // The packets of one who left long ago would be those of another.
            assert!(ear.packets() < packets + 100, "{} after {packets}", ear.packets());
        }
    }
    // Nothing of this was heard on the line of the one who stayed.
    callee.hears(callee.seconds.len(), 1, |heard| heard.is_clean(440.0)).await;
    assert!(callee.is_whole(), "{} lost", callee.lost());
    assert!(callee.hears(0, 6, |heard| heard.is_clean(440.0)).await.len() == 6);
}

#[tokio::test]
async fn the_next_agents_sound_comes_to_its_own_sink() {
    agents_come_and_go(JoinOptions::default()).await;
}

#[tokio::test]
async fn the_next_agents_sound_comes_to_its_own_sink_over_two_peer_connections() {
    agents_come_and_go(JoinOptions { single_peer_connection: false, ..Default::default() }).await;
}
