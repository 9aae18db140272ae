//! The attributes of a phone in a room: what livekit-sip sets on its participants, and what agents
//! go by. Source: livekit/protocol, `livekit/attrs.go`; livekit/sip 1.8, `pkg/sip/participant.go`.

/// LiveKit's own id of the call: `SCL_…`.
pub const CALL_ID: &str = "sip.callID";
/// The SIP `Call-ID` of the dialog.
pub const CALL_ID_FULL: &str = "sip.callIDFull";
/// Our tag in the dialog.
pub const CALL_TAG: &str = "sip.callTag";
/// Where the call stands: see [`CallStatus`](crate::CallStatus).
pub const CALL_STATUS: &str = "sip.callStatus";
/// Id of the trunk.
pub const TRUNK_ID: &str = "sip.trunkID";
/// Our number: the one that calls.
pub const TRUNK_PHONE_NUMBER: &str = "sip.trunkPhoneNumber";
/// The callee's number.
pub const PHONE_NUMBER: &str = "sip.phoneNumber";
/// The trunk's address.
pub const HOSTNAME: &str = "sip.hostname";
/// Begins the name of an attribute that holds a SIP header of the answer.
pub const HEADER_PREFIX: &str = "sip.h.";
/// Twilio's id of the account.
pub const TWILIO_ACCOUNT_SID: &str = "sip.twilio.accountSid";
/// Twilio's id of the call.
pub const TWILIO_CALL_SID: &str = "sip.twilio.callSid";
