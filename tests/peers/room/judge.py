"""A participant on libwebrtc that plays a tone and tells what it hears and is told.

Commands come as JSON lines on stdin: {"id": 1, "do": "join", ...}. Each is answered with one line
{"reply": 1, ...}, or {"reply": 1, "error": "..."}. All other lines on stdout are events, each with
its name in "event". It ends when stdin ends.
"""

import asyncio
import inspect
import json
import sys

import numpy as np
from livekit import rtc

RATE = 48_000
FRAME = RATE // 100


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def dbfs(rms):
    """Level of a full-scale square wave is 0."""
    return 20 * np.log10(max(float(rms), 0.1) / 32768)


def measure(block):
    """Pitch, level, and holes of one second of sound."""
    spectrum = np.abs(np.fft.rfft(block * np.hanning(len(block))))
    peak = int(spectrum[1:-1].argmax()) + 1
    # A parabola through the logarithms finds the top between two lines.
    low, top, high = np.log(spectrum[peak - 1 : peak + 2] + 1e-9)
    bend = low - 2 * top + high
    offset = 0.5 * (low - high) / bend if bend else 0.0
    power = spectrum**2
    near = power[max(0, peak - 3) : peak + 4].sum() / max(power.sum(), 1e-9)
    windows = np.sqrt((block.reshape(-1, FRAME) ** 2).mean(axis=1))
    median = np.median(windows)
    return {
        "hz": round((peak + offset) * RATE / len(block), 2),
        "purity": round(float(near), 4),
        "dbfs": round(float(dbfs(np.sqrt((block**2).mean()))), 2),
        # 10 ms each
        "dropouts": int((windows < 0.7 * median).sum()),
        "silent": bool(np.abs(block).max() < 50),
    }


class Judge:
    def __init__(self):
        self.room = None
        self.tasks = set()
        self.tracks = {}
        self.writers = {}
        self.tone = {"hz": 0.0, "amplitude": 0.0}

    def spawn(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    # --- commands -----------------------------------------------------------

    async def join(self, url, token, topics=(), auto_subscribe=True):
        self.room = room = rtc.Room()
        self.watch(room)
        for topic in topics:
            room.register_text_stream_handler(topic, self.text_opened)
            room.register_byte_stream_handler(topic, self.bytes_opened)
        await room.connect(url, token, rtc.RoomOptions(auto_subscribe=auto_subscribe))
        return {"identity": room.local_participant.identity, "sees": self.seen(room)}

    async def leave(self):
        room, self.room = self.room, None
        self.tone["amplitude"] = 0.0
        self.tracks.clear()
        await room.disconnect()

    def sees(self):
        return {"sees": self.seen(self.room)}

    async def publish(self, hz, amplitude=8000, name="tone", red=True):
        """A tone, as Opus; with amplitude 0 silence."""
        source = rtc.AudioSource(RATE, 1)
        track = rtc.LocalAudioTrack.create_audio_track(name, source)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_MICROPHONE, red=red, dtx=False
        )
        publication = await self.room.local_participant.publish_track(track, options)
        self.tone = {"hz": hz, "amplitude": amplitude}
        self.spawn(self.play(self.room, source))
        return {"track": publication.sid}

    def retune(self, hz, amplitude=8000):
        self.tone.update(hz=hz, amplitude=amplitude)

    async def unpublish(self, track):
        await self.room.local_participant.unpublish_track(track)

    async def mute(self, muted):
        for publication in self.room.local_participant.track_publications.values():
            (publication.track.mute if muted else publication.track.unmute)()

    async def attributes(self, attributes):
        await self.room.local_participant.set_attributes(attributes)

    async def data(self, payload, topic="", reliable=True):
        await self.room.local_participant.publish_data(payload, topic=topic, reliable=reliable)

    async def dtmf(self, code, digit):
        await self.room.local_participant.publish_dtmf(code=code, digit=digit)

    async def text(self, text, topic, attributes=None, compress=True):
        """A stream whose whole text is known."""
        info = await self.room.local_participant.send_text(
            text, topic=topic, attributes=attributes or {}, compress=compress
        )
        return {"stream": info.stream_id}

    async def file(self, size, topic, name="data.bin"):
        """A byte stream whose bytes are 0, 1, ... 250, 0, 1, ..."""
        content = bytes(n % 251 for n in range(size))
        await self.room.local_participant.send_bytes(content, name=name, topic=topic)

    async def open(self, topic, attributes=None):
        """A stream that grows."""
        writer = await self.room.local_participant.stream_text(topic=topic, attributes=attributes)
        self.writers[writer.info.stream_id] = writer
        return {"stream": writer.info.stream_id}

    async def grow(self, stream, text):
        await self.writers[stream].write(text)

    async def close(self, stream, attributes=None):
        await self.writers.pop(stream).aclose(attributes=attributes or {})

    async def stats(self, track):
        """What libwebrtc counted while it received a track."""
        for entry in await self.tracks[track].get_stats():
            if entry.WhichOneof("stats") == "inbound_rtp":
                stream = entry.inbound_rtp
                return {
                    "packets": stream.received.packets_received,
                    "lost": stream.received.packets_lost,
                    "concealed": stream.inbound.concealed_samples,
                    "silent_concealed": stream.inbound.silent_concealed_samples,
                    "samples": stream.inbound.total_samples_received,
                }
        return {"packets": 0}

    # --- sound --------------------------------------------------------------

    async def play(self, room, source):
        n = 0
        while self.room is room:
            tone = self.tone
            at = 2 * np.pi * tone["hz"] * (np.arange(FRAME) + n) / RATE
            samples = (tone["amplitude"] * np.sin(at)).astype(np.int16)
            n = (n + FRAME) % RATE
            # It waits when the queue is full.
            await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, FRAME))

    async def listen(self, track, who, sid):
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1)
        held, begun, second = np.zeros(0), False, 0
        async for event in stream:
            samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float64)
            if not begun:
                begun = bool(np.abs(samples).max(initial=0) > 500)
                if begun:
                    say(event="sound", track=sid, **{"from": who})
                    # The first frame, where the sound sets in, counts for nothing.
                    continue
            held = np.concatenate([held, samples]) if begun else held
            while len(held) >= RATE:
                block, held = held[:RATE], held[RATE:]
                say(event="heard", track=sid, second=second, **{"from": who}, **measure(block))
                second += 1

    # --- what it is told ----------------------------------------------------

    def seen(self, room):
        return {
            p.identity: {
                "attributes": dict(p.attributes),
                "kind": p.kind,
                "tracks": [
                    {"sid": t.sid, "name": t.name, "mime": t.mime_type}
                    for t in p.track_publications.values()
                ],
            }
            for p in room.remote_participants.values()
        }

    def watch(self, room):
        def on(name, tell):
            def handler(*arguments):
                if self.room is room:
                    say(event=name, **tell(*arguments))

            room.on(name, handler)

        def who(participant):
            return participant.identity if participant else ""

        def subscribed(track, publication, participant):
            self.tracks[publication.sid] = track
            self.spawn(self.listen(track, participant.identity, publication.sid))
            return {
                "from": participant.identity,
                "track": publication.sid,
                "mime": publication.mime_type,
                "name": publication.name,
                "source": publication.source,
            }

        on("track_subscribed", subscribed)
        on("track_published", lambda t, p: {"from": p.identity, "track": t.sid})
        on("track_unpublished", lambda t, p: {"from": p.identity, "track": t.sid})
        on("track_unsubscribed", lambda _, t, p: {"from": p.identity, "track": t.sid})
        on("participant_connected", lambda p: {"from": p.identity, "kind": p.kind})
        on(
            "participant_disconnected",
            lambda p: {"from": p.identity, "reason": reason(p.disconnect_reason)},
        )
        on(
            "participant_attributes_changed",
            lambda changed, p: {
                "from": who(p),
                "changed": changed,
                "attributes": dict(p.attributes),
            },
        )
        on(
            "active_speakers_changed",
            lambda speakers: {"speakers": [p.identity for p in speakers]},
        )
        on(
            "data_received",
            lambda d: {
                "from": who(d.participant),
                "topic": d.topic or "",
                "data": bytes(d.data).decode("utf-8", "replace"),
                "reliable": d.kind == rtc.DataPacketKind.KIND_RELIABLE,
            },
        )
        on(
            "sip_dtmf_received",
            lambda d: {"from": who(d.participant), "code": d.code, "digit": d.digit},
        )
        on("connection_state_changed", lambda state: {"state": state})
        on("disconnected", lambda why: {"reason": reason(why)})

    def text_opened(self, reader, identity):
        self.spawn(self.read_text(reader, identity))

    async def read_text(self, reader, identity):
        opened = dict(reader.info.attributes or {})
        chunks, error = [], None
        try:
            async for chunk in reader:
                chunks.append(chunk)
        except Exception as problem:  # told, not hidden
            error = str(problem)
        say(
            event="text",
            topic=reader.info.topic,
            stream=reader.info.stream_id,
            text="".join(chunks),
            opened=opened,
            attributes=dict(reader.info.attributes or {}),
            error=error,
            **{"from": identity},
        )

    def bytes_opened(self, reader, identity):
        self.spawn(self.read_bytes(reader, identity))

    async def read_bytes(self, reader, identity):
        content = b"".join([chunk async for chunk in reader])
        say(
            event="bytes",
            topic=reader.info.topic,
            name=reader.info.name,
            size=len(content),
            right=content == bytes(n % 251 for n in range(len(content))),
            **{"from": identity},
        )


def reason(number):
    return rtc.DisconnectReason.Name(number or 0)


COMMANDS = {
    "join", "leave", "sees", "publish", "retune", "unpublish", "mute", "attributes", "data",
    "dtmf", "text", "file", "open", "grow", "close", "stats",
}  # fmt: skip


async def obey(judge, command):
    number, name = command.pop("id"), command.pop("do")
    try:
        if name not in COMMANDS:
            raise ValueError(f"no command {name}")
        answer = getattr(judge, name)(**command)
        if inspect.isawaitable(answer):
            answer = await answer
        say(reply=number, **(answer or {}))
    except Exception as error:  # the test decides what an error means
        say(reply=number, error=f"{type(error).__name__}: {error}")


async def main():
    judge = Judge()
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say(event="ready")
    # One after the other: what a test does in an order happens in that order.
    while line := await reader.readline():
        await obey(judge, json.loads(line))
    if judge.room:
        await judge.leave()


if __name__ == "__main__":
    asyncio.run(main())
