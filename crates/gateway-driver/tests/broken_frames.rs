//! Invalid frames (RFC 6455): the driver reports and answers them as the byte level of `gateway-proto` does.

#[path = "../../gateway-proto/tests/raw_support/broken_frames.rs"]
mod broken_frames;
mod support;

use std::io::Write;

use broken_frames::{MESSAGE_BYTES, broken_frames};
use support::{Client, config};

#[test]
fn broken_frames_are_reported_and_answered() {
    for case in broken_frames() {
        let name = case.name;
        // All at once, and in small pieces.
        for trickle in [None, Some(1), Some(3)] {
            let mut config = config();
            config.limits.message_bytes = MESSAGE_BYTES;
            let mut client = Client::new(config);
            let mut server = client.connect_and_identify();
            if let Some(bytes) = trickle {
                server.end.set_trickle(bytes);
            }
            server.end.write_all(&case.bytes).unwrap();
            client.settle();
            let reasons = client.disconnects();
            assert_eq!(reasons.len(), 1, "{name}");
            assert!(case.expected.fits(reasons.first()), "{name}: {reasons:?}");
            assert_eq!(client.ended, case.expected.is_final(), "{name}");
            assert_eq!(client.shard.session().is_some(), case.expected.keeps_session(), "{name}");
            if trickle.is_none() {
                assert_eq!(server.expect_close(), case.answer, "{name}");
            }
            assert!(server.end.client_is_gone(), "{name}: the socket is dropped");
        }
    }
}

/// Bytes after the answer to the upgrade are read like later ones.
#[test]
fn a_close_frame_after_the_answer_to_the_upgrade_counts() {
    let mut client = Client::new(config());
    let end = client.wait_for_connection().unwrap();
    let mut upgrading = support::Upgrading::new(end.clone());
    let bad_reason = [&[0x88, 3][..], &4004_u16.to_be_bytes(), b"\xff"].concat();
    let _server = upgrading.go_on().expect("the request has come");
    end.clone().write_all(&bad_reason).unwrap();
    client.settle();
    assert!(client.ended);
}
