//! How a QUIC connection behaves: windows and stream counts from the treaty, patience from the link profile.
//!
//! Everything is set here and explicitly: the library's default receive window is unlimited. No datagrams, no 0-RTT.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use quinn::{IdleTimeout, TransportConfig, VarInt};
use serde::Deserialize;
use valise_proto::limits::{
    CONNECTION_WINDOW, CONTROL_STREAMS, SEND_WINDOW, STREAM_WINDOW, STREAMS_SPARE, TRANSFERS_MAX,
};
use valise_proto::session::backoff::{self, Pace};

/// The relay's patience with a silent device: longer than that of any profile, so that the device's own decides.
pub const RELAY_IDLE: Duration = Duration::from_secs(120);

/// What kind of link a device stands behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkProfile {
    /// A local network or the open Internet.
    #[default]
    Lan,
    /// 600 ms, lossy, narrow, often cut.
    Satellite,
}

/// Not the name of a link profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the link profile is `lan` or `satellite`")]
pub struct UnknownProfile;

impl LinkProfile {
    /// The word in configurations and in Hello.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Satellite => "satellite",
        }
    }

    /// Silence after which the device asks whether the relay is there. On a satellite every packet is paid.
    pub const fn keep_alive(self) -> Duration {
        match self {
            Self::Lan => Duration::from_secs(1),
            Self::Satellite => Duration::from_secs(20),
        }
    }

    /// Silence after which the connection is given up: four keep-alives lost, and an outage outlived.
    pub const fn idle_timeout(self) -> Duration {
        match self {
            Self::Lan => Duration::from_secs(5),
            Self::Satellite => Duration::from_secs(90),
        }
    }

    /// Round trip assumed before the first is measured: too short sends twice, too long waits for a lost packet.
    pub const fn initial_rtt(self) -> Duration {
        match self {
            Self::Lan => Duration::from_millis(50),
            Self::Satellite => Duration::from_millis(600),
        }
    }

    /// After this a connect attempt is abandoned and the next one begins.
    pub const fn connect_timeout(self) -> Duration {
        match self {
            Self::Lan => Duration::from_millis(500),
            Self::Satellite => Duration::from_secs(30),
        }
    }

    /// Pace of coming back after an outage.
    pub const fn pace(self) -> Pace {
        match self {
            Self::Lan => backoff::LAN,
            Self::Satellite => backoff::SATELLITE,
        }
    }
}

impl fmt::Display for LinkProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LinkProfile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        [Self::Lan, Self::Satellite].into_iter().find(|p| p.as_str() == text).ok_or(UnknownProfile)
    }
}

/// The device's side: it keeps the connection alive, and takes no streams but transfers.
pub fn device_transport(profile: LinkProfile) -> TransportConfig {
    let mut config = bounded();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .keep_alive_interval(Some(profile.keep_alive()))
        .max_idle_timeout(Some(idle(profile.idle_timeout())))
        .initial_rtt(profile.initial_rtt());
    if profile == LinkProfile::Satellite {
        config.mtu_discovery_config(None); // probes are large, and most of them are lost
    }
    config
}

/// The relay's side: one control stream, transfers ([P-5]), and no keep-alive of its own: 203 devices send theirs
/// ([P-8]).
pub fn relay_transport() -> TransportConfig {
    let mut config = bounded();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(CONTROL_STREAMS))
        .keep_alive_interval(None)
        .max_idle_timeout(Some(idle(RELAY_IDLE)));
    config
}

/// Windows of the treaty ([P-6]).
fn bounded() -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_uni_streams(VarInt::from_u32(TRANSFERS_MAX + STREAMS_SPARE))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None);
    config
}

fn idle(timeout: Duration) -> IdleTimeout {
    IdleTimeout::try_from(timeout)
        .expect("invariant: minutes fit a QUIC variable-length integer of milliseconds")
}

const _: () = {
    let (lan, satellite) = (LinkProfile::Lan, LinkProfile::Satellite);
    assert!(lan.idle_timeout().as_millis() > 4 * lan.keep_alive().as_millis());
    assert!(satellite.idle_timeout().as_millis() > 4 * satellite.keep_alive().as_millis());
    assert!(RELAY_IDLE.as_millis() > satellite.idle_timeout().as_millis());
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_its_word() {
        for profile in [LinkProfile::Lan, LinkProfile::Satellite] {
            assert_eq!(profile.as_str().parse(), Ok(profile));
        }
        assert_eq!("Lan".parse::<LinkProfile>(), Err(UnknownProfile));
    }
}
