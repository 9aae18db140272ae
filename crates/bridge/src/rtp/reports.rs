//! RTCP: what each side counts (RFC 3550, section 6).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rtcp_types::{
    Bye, Compound, Packet, ReceiverReport, ReportBlock, RtcpPacketWriterExt, Sdes, SdesChunk,
    SdesItem, SenderReport,
};

use super::RtpSettings;
use super::reception::{Counted, Reception};
use super::sender::Sender;

/// Between two reports, on average (RFC 3550, section 6.2).
const INTERVAL: Duration = Duration::from_secs(5);
/// Packets that must have been sent between two reports for the second to tell something.
const TELLING: u64 = 50;
/// So many reports in a row that nothing came are believed.
const BELIEVED: u8 = 2;
/// Round trips longer than this are nonsense.
const LONGEST_ROUND_TRIP: u32 = 10 << 16;
/// From the beginning of 1900 to that of 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;
/// Longest report that is written.
const MAX_REPORT: usize = 512;

#[derive(Debug)]
pub(super) struct Reports {
    cname: String,
    epoch: Instant,
    wall: SystemTime,
    random: u64,
    due: Option<Instant>,
    /// Middle bits of the time of the peer's last report, and when it came.
    peer: Option<(u32, Instant)>,
    /// The highest number of ours that the peer has seen, and how many we had sent.
    seen: Option<(u32, u64)>,
    unheard: u8,
    pub(super) remote_lost: u64,
    pub(super) round_trip: Option<Duration>,
}

impl Reports {
    pub(super) fn new(settings: &RtpSettings, now: Instant) -> Self {
        Self {
            cname: settings.cname.clone(),
            epoch: now,
            wall: settings.wall,
            random: u64::from(settings.ssrc) << 16 | u64::from(settings.sequence) | 1 << 63,
            due: None,
            peer: None,
            seen: None,
            unheard: 0,
            remote_lost: 0,
            round_trip: None,
        }
    }

    /// From now on reports are sent; the first comes sooner.
    pub(super) fn start(&mut self, now: Instant) {
        if self.due.is_none() {
            self.due = Some(now + self.interval() / 2);
        }
    }

    /// Whether it is time for a report; then the next one is set.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.due = Some(now + self.interval());
        }
        due
    }

    /// The peer says that nothing of what we send arrives.
    pub(super) fn peer_hears_nothing(&self) -> bool {
        self.unheard >= BELIEVED
    }

    /// Writes a report. `false` when there is nothing to write.
    pub(super) fn write(
        &self,
        sender: &Sender,
        reception: &mut Reception,
        bye: bool,
        now: Instant,
        report: &mut Vec<u8>,
    ) -> bool {
        let block = reception.report().map(|counted| self.block(counted, now));
        let chunk = SdesChunk::builder(sender.ssrc)
            .add_item(SdesItem::builder(SdesItem::CNAME, &self.cname));
        let compound = Compound::builder();
        let compound = if sender.is_active(2 * INTERVAL, now) {
            let own = SenderReport::builder(sender.ssrc)
                .ntp_timestamp(self.ntp(now))
                .rtp_timestamp(sender.clock(now))
                .packet_count(sender.packets as u32)
                .octet_count(sender.octets);
            compound.add_packet(match block {
                Some(block) => own.add_report_block(block),
                None => own,
            })
        } else {
            let own = ReceiverReport::builder(sender.ssrc);
            compound.add_packet(match block {
                Some(block) => own.add_report_block(block),
                None => own,
            })
        };
        let compound = compound.add_packet(Sdes::builder().add_chunk(chunk));
        let compound = match bye {
            true => compound.add_packet(Bye::builder().add_source(sender.ssrc)),
            false => compound,
        };
        report.resize(MAX_REPORT, 0);
        let written = compound.write_into(report);
        report.truncate(*written.as_ref().unwrap_or(&0));
        written.is_ok()
    }

    /// Takes what the peer says. `false` when it is no RTCP.
    pub(super) fn read(&mut self, datagram: &[u8], sender: &Sender, now: Instant) -> bool {
        let Ok(compound) = Compound::parse(datagram) else { return false };
        for packet in compound {
            match packet {
                Ok(Packet::Sr(report)) => {
                    self.peer = Some(((report.ntp_timestamp() >> 16) as u32, now));
                    report.report_blocks().for_each(|block| self.hear(&block, sender, now));
                }
                Ok(Packet::Rr(report)) => {
                    report.report_blocks().for_each(|block| self.hear(&block, sender, now));
                }
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn hear(&mut self, block: &ReportBlock<'_>, sender: &Sender, now: Instant) {
        if block.ssrc() != sender.ssrc {
            return;
        }
        // 24 bits with a sign: with duplicates less than nothing is lost.
        let lost = ((block.cumulative_lost() << 8).cast_signed() >> 8).max(0);
        self.remote_lost = self.remote_lost.max(u64::from(lost.unsigned_abs()));
        let highest = block.extended_sequence_number();
        let (before, sent) = *self.seen.get_or_insert((highest, sender.packets));
        if highest != before {
            self.unheard = 0;
            self.seen = Some((highest, sender.packets));
        } else if sender.packets - sent >= TELLING {
            self.unheard = self.unheard.saturating_add(1);
            self.seen = Some((highest, sender.packets));
        }
        let last = block.last_sender_report_timestamp();
        if last != 0 {
            let delay = block.delay_since_last_sender_report_timestamp();
            let trip = (self.ntp(now) >> 16) as u32;
            let trip = trip.wrapping_sub(last).wrapping_sub(delay);
            if trip <= LONGEST_ROUND_TRIP {
                self.round_trip = Some(Duration::from_micros((u64::from(trip) * 1_000_000) >> 16));
            }
        }
    }

    fn block(&self, counted: Counted, now: Instant) -> rtcp_types::ReportBlockBuilder {
        let block = ReportBlock::builder(counted.ssrc)
            .fraction_lost(counted.fraction_lost)
            .cumulative_lost(counted.lost)
            .extended_sequence_number(counted.highest)
            .interarrival_jitter(counted.jitter);
        match self.peer {
            Some((ntp, at)) => {
                let delay = now.saturating_duration_since(at).as_micros();
                let delay = u32::try_from((delay << 16) / 1_000_000).unwrap_or(u32::MAX);
                block
                    .last_sender_report_timestamp(ntp)
                    .delay_since_last_sender_report_timestamp(delay)
            }
            None => block,
        }
    }

    /// Seconds since 1900, times 2^32.
    fn ntp(&self, now: Instant) -> u64 {
        let wall = self.wall + now.saturating_duration_since(self.epoch);
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let part = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        (since.as_secs().wrapping_add(NTP_TO_UNIX) << 32) | part
    }

    /// 0.5 to 1.5 times the usual, so that calls do not report in step.
    fn interval(&mut self) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        INTERVAL / 2 + Duration::from_millis(self.random % INTERVAL.as_millis() as u64)
    }
}
