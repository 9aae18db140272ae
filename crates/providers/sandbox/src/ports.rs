//! The sandbox as rooms, as a provider and as an observer.

use async_trait::async_trait;
use outdial_domain::ports::{
    DialRequest, Dialed, DispatchRequest, HintSink, LegLook, Observation, ObserveRequest, Observer,
    Provider, RoomLook, Rooms, TrunkFault,
};
use outdial_domain::{Digits, Hint, Participant, Result, RoomName, Trunk, random_text};

use crate::Sandbox;
use crate::leg::LegTask;
use crate::observers::Observers;
use crate::scenario::Scenario;

#[async_trait]
impl Rooms for Sandbox {
    async fn create(&self, room: &RoomName) -> Result<()> {
        self.world.check("sandbox.create_room")?;
        self.world.create(room);
        Ok(())
    }

    /// As on a real server a missing room is made. Of several agents only the first speaks.
    async fn dispatch(&self, room: &RoomName, request: &DispatchRequest) -> Result<String> {
        self.world.check("sandbox.dispatch")?;
        self.world.dispatch(room, request);
        Ok(format!("AD_{}", random_text(12)))
    }

    async fn look(&self, room: &RoomName) -> Result<Option<RoomLook>> {
        Ok(self.world.look(room))
    }

    async fn delete(&self, room: &RoomName) -> Result<()> {
        self.world.delete(room);
        Ok(())
    }

    async fn check(&self) -> Result<()> {
        self.world.check("sandbox.check")
    }
}

#[async_trait]
impl Provider for Sandbox {
    /// Returns at once with a participant, whatever the number. A room with a leg in it takes no
    /// second one: that is [`Exists`](outdial_domain::ErrorKind::Exists), and shows a repeated dial.
    async fn dial(&self, request: DialRequest, hints: HintSink) -> Result<Dialed> {
        self.world.check("sandbox.dial")?;
        let participant = Participant {
            sid: format!("PA_{}", random_text(12)),
            identity: request.participant_identity.clone(),
        };
        let joined = Hint::Joined { at: self.world.now(), participant: Some(participant.clone()) };
        let scenario = Scenario::of(&request.to_number);
        let admission = self.world.admit(
            &request.room_name,
            &request.participant_identity,
            scenario,
            joined.clone(),
        )?;
        tracing::debug!(room = ?request.room_name, ?scenario, "a simulated leg was dialled");
        let task = LegTask::new(self.world.clone(), request, scenario, admission, hints);
        let stop = self.world.stop.clone();
        self.legs.spawn(stop.run_until_cancelled_owned(task.run(joined)));
        Ok(Dialed::Joined(Some(participant)))
    }

    async fn hang_up(&self, room: &RoomName, participant_identity: &str) -> Result<()> {
        self.world.remove_leg(room, participant_identity);
        Ok(())
    }

    /// The simulated callee takes any digits and does nothing with them.
    async fn send_dtmf(
        &self,
        room: &RoomName,
        participant_identity: &str,
        digits: &Digits,
    ) -> Result<()> {
        self.world.dtmf(room, participant_identity, digits)
    }

    async fn look(&self, room: &RoomName, participant_identity: &str) -> Result<LegLook> {
        Ok(match self.world.leg(room, participant_identity) {
            Some(hints) => LegLook::Present(hints),
            None => LegLook::Absent,
        })
    }

    /// They are simulated in this process.
    fn legs_are_local(&self) -> bool {
        true
    }

    /// Nothing is needed of a trunk.
    fn check_trunk(&self, _trunk: &Trunk) -> Result<(), TrunkFault> {
        Ok(())
    }
}

impl Observer for Sandbox {
    /// Takes the audio, from now on. The hints need no observer: all of them come from the dial, so
    /// the request's own sink gets none. The sink of the audio is dropped as soon as the leg has
    /// ended, the room is deleted without a leg in it, or another observation of the room begins.
    fn observe(&self, request: ObserveRequest) -> Observation {
        Observers::observe(&self.world, request)
    }
}
