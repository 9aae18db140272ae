"""A real LiveKit voice agent that needs no network: the other party in call tests.

It is an ordinary livekit-agents worker. Only its ears, its mind and its voice are
local (see `offline.py`), so what outdial sees of it is what it sees of any agent.

    LIVEKIT_URL=ws://127.0.0.1:7880 LIVEKIT_API_KEY=… LIVEKIT_API_SECRET=… python agent.py start

It takes explicit dispatches to AGENT_NAME (`outdial-agent`) and reads from their metadata:

    assistant_prompt             the agent's instructions
    assistant_start_instruction  spoken once the callee has answered; a leading "Say:" is dropped
    agent_config                 all keys optional:
      order_status               what it answers about the order      ("on its way")
      answer_timeout             seconds to wait for an answer        (90)
      hangup                     "participant" removes the callee, "room" deletes the room
                                                                      (participant for a phone)
      hangup_after_greeting      true: hangs up once the greeting has been heard
      leave_after_greeting       true: leaves the room then, the call goes on without it
      tone                       after the greeting holds a tone: {"hz": 440, "seconds": 4}
      press                      keys that it then presses on the callee's phone: "42#"

Data packets and keys of the callee are logged, with the room's name.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
from array import array
from collections.abc import AsyncIterator

# The end-of-turn model costs 240 MB per worker; turns are found by the VAD here.
os.environ.setdefault("LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE", "0")

from livekit import api, rtc
from livekit.agents import (
    Agent,
    AgentServer,
    AgentSession,
    JobContext,
    JobExecutorType,
    JobProcess,
    RunContext,
    cli,
    function_tool,
    inference,
    room_io,
)
from livekit.agents.utils.participant import wait_for_participant_attribute

from offline import EspeakTTS, ScriptedLLM, SphinxSTT, load_decoder

log = logging.getLogger("outdial-agent")

SIP = rtc.ParticipantKind.PARTICIPANT_KIND_SIP
CALLEES = [SIP, rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD]


def setup(proc: JobProcess) -> None:
    """Loads the models before a job comes, so that joining a room takes no longer for it."""
    proc.userdata["vad"] = inference.VAD(model="silero")
    proc.userdata["decoder"] = load_decoder()


server = AgentServer(
    setup_fnc=setup,
    # Threads would be lighter, but the room client hangs and then takes the whole worker down
    # when two of them connect at the same time.
    job_executor_type=JobExecutorType.PROCESS,
    num_idle_processes=int(os.environ.get("AGENT_IDLE", "2")),  # jobs beyond these join later
    initialize_process_timeout=60,
    # By default the worker refuses jobs on a busy machine, and more at once than it has idle
    # processes. The dispatch of a refused job is lost without a word.
    load_fnc=lambda: 0.0,
    load_threshold=math.inf,
    host="127.0.0.1",
    port=int(os.environ.get("AGENT_HTTP_PORT", "0")),
    drain_timeout=3,  # by default SIGTERM waits up to an hour for running jobs
)


class PhoneAgent(Agent):
    def __init__(self, job: JobContext, prompt: str, hangup: str | None) -> None:
        super().__init__(instructions=prompt)
        self.job, self.hangup = job, hangup
        self.callee: rtc.RemoteParticipant | None = None

    @function_tool
    async def end_call(self, ctx: RunContext) -> None:
        """End the phone call once the callee is done."""
        await ctx.wait_for_playout()  # the good-bye is still being spoken
        await self.hang_up("the agent ended the call")

    async def hang_up(self, reason: str) -> None:
        log.info("hanging up: %s", reason)
        how = self.hangup or ("participant" if self.callee and self.callee.kind == SIP else "room")
        try:
            if how == "participant" and self.callee:
                who = api.RoomParticipantIdentity(
                    room=self.job.room.name, identity=self.callee.identity
                )
                await self.job.api.room.remove_participant(who)
            else:
                await self.job.delete_room()
        except api.TwirpError as e:  # gone already: the callee was quicker
            log.info("nothing to hang up: %s", e)
        self.job.shutdown(reason)


async def sine(hz: float, seconds: float, rate: int = 24_000) -> AsyncIterator[rtc.AudioFrame]:
    """A tone, a quarter of full scale, in frames of 20 ms."""
    step = rate // 50
    for start in range(0, int(rate * seconds), step):
        wave = (8191 * math.sin(math.tau * hz * n / rate) for n in range(start, start + step))
        data = array("h", map(int, wave)).tobytes()
        yield rtc.AudioFrame(data, sample_rate=rate, num_channels=1, samples_per_channel=step)


async def answered(room: rtc.Room, callee: rtc.RemoteParticipant) -> None:
    """A phone's participant is in the room while it still rings: wait until it is picked up.

    Raises RuntimeError when the callee or the room goes away first.
    """
    if callee.kind == SIP:
        await wait_for_participant_attribute(
            room, identity=callee.identity, attribute="sip.callStatus", value="active"
        )


@server.rtc_session(agent_name=os.environ.get("AGENT_NAME", "outdial-agent"))
async def entrypoint(ctx: JobContext) -> None:
    meta = json.loads(ctx.job.metadata or "{}")
    config = meta.get("agent_config") or {}
    await ctx.connect()
    log.info("joined room %s, config %s", ctx.room.name, config)

    agent = PhoneAgent(
        ctx, meta.get("assistant_prompt") or "You are a phone agent.", config.get("hangup")
    )
    vad = ctx.proc.userdata["vad"]
    session = AgentSession(
        stt=SphinxSTT(decoder=ctx.proc.userdata["decoder"], vad=vad),
        llm=ScriptedLLM(config.get("order_status", "on its way")),
        tts=EspeakTTS(),
        vad=vad,
        turn_handling={"turn_detection": "vad", "interruption": {"mode": "vad"}},
        aec_warmup_duration=None,  # a telephone has no echo of ours: barge-in from the start
        session_close_transcript_timeout=0.3,  # how long the agent lingers at the end
    )

    @ctx.room.on("participant_disconnected")
    def _left(p: rtc.RemoteParticipant) -> None:
        # The session ends itself for some reasons only (an unanswered phone is not one of
        # them), and its end does not end the job: the agent would stay in the room.
        if p.kind in CALLEES and (not agent.callee or p.identity == agent.callee.identity):
            reason = rtc.DisconnectReason.Name(p.disconnect_reason or 0)
            log.info("callee %s left: %s", p.identity, reason)
            ctx.shutdown(f"callee left: {reason}")

    @ctx.room.on("data_received")
    def _data(packet: rtc.DataPacket) -> None:
        log.info("room %s, data on %s: %s", ctx.room.name, packet.topic, packet.data.decode())

    @ctx.room.on("sip_dtmf_received")
    def _key(key: rtc.SipDTMF) -> None:
        log.info("room %s, key %s", ctx.room.name, key.digit)

    for name in ("agent_state_changed", "user_input_transcribed", "conversation_item_added",
                 "function_tools_executed", "error", "close"):  # fmt: skip
        session.on(name, lambda ev, name=name: log.info("%s %s", name, brief(ev)))

    # Started before anybody answers, so that the greeting comes at once.
    await session.start(
        agent,
        room=ctx.room,
        record=False,
        session_host=False,
        room_options=room_io.RoomOptions(participant_kinds=CALLEES),
    )
    try:
        async with asyncio.timeout(float(config.get("answer_timeout", 90))):
            agent.callee = await ctx.wait_for_participant(kind=CALLEES)
            await answered(ctx.room, agent.callee)
    except TimeoutError:
        await agent.hang_up("nobody answered in time")
        return
    except RuntimeError as e:
        ctx.shutdown(str(e))
        return

    log.info("callee %s answered", agent.callee.identity)
    greeting = session.generate_reply(
        instructions=meta.get("assistant_start_instruction") or "Hello."
    )
    if tone := config.get("tone"):
        await greeting.wait_for_playout()
        await session.say("A tone.", audio=sine(tone["hz"], tone["seconds"]))
    for key in config.get("press", ""):
        code = "0123456789*#ABCD".index(key)
        await ctx.room.local_participant.publish_dtmf(code=code, digit=key)
    if config.get("hangup_after_greeting"):
        await greeting.wait_for_playout()
        await agent.hang_up("told to, after the greeting")
    elif config.get("leave_after_greeting"):
        await greeting.wait_for_playout()
        ctx.shutdown("told to leave after the greeting")


def brief(ev: object) -> str:
    keys = ("old_state", "new_state", "transcript", "is_final", "reason", "error")
    text = {k: str(getattr(ev, k)) for k in keys if getattr(ev, k, None) is not None}
    if (item := getattr(ev, "item", None)) is not None and getattr(item, "role", None):
        text.update(role=item.role, text=item.text_content, interrupted=str(item.interrupted))
    if calls := getattr(ev, "function_calls", None):
        text["tools"] = ",".join(c.name for c in calls)
    return json.dumps(text)


if __name__ == "__main__":
    cli.run_app(server)
