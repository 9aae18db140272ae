"""Ears, mind and voice without a network, as plug-ins of livekit-agents.

STT  PocketSphinx restricted to a small grammar, with interim results.
LLM  a fixed set of rules that answers in words or with a tool call, streamed like a real one.
TTS  espeak-ng as a subprocess; its PCM is passed on as it comes.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor

from livekit import rtc
from livekit.agents import APIConnectionError, llm, stt, tts, utils, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN
from pocketsphinx import Decoder

# A general language model is slower than real time on two cores. This grammar decodes in
# about 0.1 s and survives G.711; what is outside it is dropped or forced onto the nearest rule.
GRAMMAR = """#JSGF V1.0;
grammar phone;
public <utterance> = <order> | <bye> | <yes> | <human> ;
<order> = (what is | what's | tell me) [the] status of (my | the) order | where is my order | order status ;
<bye> = [thank you] (goodbye | good bye | bye bye) ;
<yes> = yes please | no thank you ;
<human> = (can i | i want to) (speak | talk) to (a human | an agent | someone) ;
"""
STT_RATE = 16000
INTERIM_EVERY = 10  # VAD windows, of 32 ms each


def load_decoder() -> Decoder:
    with tempfile.NamedTemporaryFile("w", suffix=".gram", delete=False) as f:
        f.write(GRAMMAR)
    try:
        # Without dither, digital silence (Opus DTX, pauses of espeak) spoils the features.
        return Decoder(samprate=STT_RATE, lm=None, jsgf=f.name, dither=True, loglevel="FATAL")
    finally:
        os.unlink(f.name)


class SphinxSTT(stt.STT):
    def __init__(self, *, decoder: Decoder, vad: vad.VAD) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True, interim_results=True, offline_recognize=False
            )
        )
        self.vad, self._decoder = vad, decoder
        self._pool = ThreadPoolExecutor(1, "sphinx")  # a Decoder is not thread safe

    def _decode(self, pcm: bytes) -> str:
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
        hyp = self._decoder.hyp()
        return hyp.hypstr.replace("good bye", "goodbye") if hyp else ""

    async def decode(self, pcm: bytes) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._decode, pcm)

    async def _recognize_impl(self, buffer, *, language=NOT_GIVEN, conn_options) -> stt.SpeechEvent:
        raise NotImplementedError("streaming only")

    def stream(self, *, language=NOT_GIVEN, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return SphinxStream(stt=self, conn_options=conn_options, sample_rate=STT_RATE)


def longer(text: str, last: str) -> str:
    """Holes in the sound, as a busy machine makes them, shorten a sentence to the nearest rule: what
    was understood before stays understood."""
    return max(text, last, key=lambda words: (len(words.split()), len(words)))


class SphinxStream(stt.RecognizeStream):
    _stt: SphinxSTT

    def _emit(self, kind: stt.SpeechEventType, text: str | None = None) -> None:
        words = [] if text is None else [stt.SpeechData(language="en", text=text)]
        self._event_ch.send_nowait(stt.SpeechEvent(kind, alternatives=words))

    async def _run(self) -> None:
        speech = self._stt.vad.stream()

        async def feed() -> None:
            async for item in self._input_ch:
                if isinstance(item, rtc.AudioFrame):
                    speech.push_frame(item)
            speech.end_input()

        async def recognise() -> None:
            heard, windows, last = bytearray(), 0, ""
            async for ev in speech:
                pcm = b"".join(bytes(f.data) for f in ev.frames)
                if ev.type == vad.VADEventType.START_OF_SPEECH:
                    heard, windows, last = bytearray(pcm), 0, ""
                    self._emit(stt.SpeechEventType.START_OF_SPEECH)
                elif ev.type == vad.VADEventType.INFERENCE_DONE and ev.speaking:
                    heard += pcm
                    windows += 1
                    if windows % INTERIM_EVERY == 0:
                        text = longer(await self._stt.decode(bytes(heard)), last)
                        if text and text != last:
                            last = text
                            self._emit(stt.SpeechEventType.INTERIM_TRANSCRIPT, text)
                elif ev.type == vad.VADEventType.END_OF_SPEECH:
                    text = longer(await self._stt.decode(pcm), last)
                    self._emit(stt.SpeechEventType.END_OF_SPEECH)
                    if text:
                        self._emit(stt.SpeechEventType.FINAL_TRANSCRIPT, text)

        tasks = [asyncio.create_task(feed()), asyncio.create_task(recognise())]
        try:
            await asyncio.gather(*tasks)
        finally:
            await utils.aio.cancel_and_wait(*tasks)
            await speech.aclose()


class ScriptedLLM(llm.LLM):
    """Says the instruction it is given; otherwise answers what the user said by rule."""

    def __init__(self, order_status: str) -> None:
        super().__init__()
        self.order_status = order_status

    def answer(self, ctx: llm.ChatContext) -> tuple[str, str | None]:
        """The words to say, and the tool to call afterwards."""
        last = next((i for i in reversed(ctx.items) if i.type == "message"), None)
        text = (last.text_content or "") if last else ""
        if last is None or last.role != "user":
            return re.sub(r"^\s*say\s*:\s*", "", text, flags=re.I) or "Hello.", None
        if re.search(r"\b(good\s?bye|bye)\b", text, re.I):
            return "Thank you for your time. Good-bye!", "end_call"
        if "order" in text:
            return f"Your order is {self.order_status}. Is there anything else?", None
        return "Sorry, I can only answer questions about your order.", None

    def chat(self, *, chat_ctx, tools=None, conn_options=DEFAULT_API_CONNECT_OPTIONS, **_):
        return ScriptedStream(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class ScriptedStream(llm.LLMStream):
    _llm: ScriptedLLM

    async def _run(self) -> None:
        text, tool = self._llm.answer(self._chat_ctx)
        rid = utils.shortuuid("script_")

        def send(**delta: object) -> None:
            chunk = llm.ChatChunk(id=rid, delta=llm.ChoiceDelta(role="assistant", **delta))
            self._event_ch.send_nowait(chunk)

        for word in re.findall(r"\S+\s*", text):
            send(content=word)
        if tool:
            call_id = utils.shortuuid("call_")
            send(tool_calls=[llm.FunctionToolCall(name=tool, arguments="{}", call_id=call_id)])


class EspeakTTS(tts.TTS):
    RATE = 22050  # native to espeak-ng

    def __init__(self) -> None:
        # The framework splits a text into sentences for engines that do not stream.
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False),
            sample_rate=self.RATE,
            num_channels=1,
        )

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return EspeakStream(tts=self, input_text=text, conn_options=conn_options)


class EspeakStream(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        command = ["espeak-ng", "-v", "en-us", "-s", "160", "--stdout", "--", self._input_text]
        try:
            proc = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        except OSError as e:
            raise APIConnectionError("espeak-ng is not installed", retryable=False) from e
        output_emitter.initialize(
            request_id=utils.shortuuid("espeak_"),
            sample_rate=EspeakTTS.RATE,
            num_channels=1,
            mime_type="audio/pcm",
        )
        try:
            await proc.stdout.readexactly(44)  # WAV header
            while chunk := await proc.stdout.read(8820):
                output_emitter.push(chunk)
            output_emitter.flush()
        finally:
            if proc.returncode is None and not proc.stdout.at_eof():  # interrupted
                proc.kill()
            await proc.wait()
