//! The vectors of section 4.5 of docs/protocol.md are what the code makes.

use hedgerow_core::io::Lane;
use hedgerow_core::wire::fragment::{Ack, Brief, Header, Skip, checksum};

const DOCUMENT: &str = include_str!("../../docs/protocol.md");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_vectors_of_packets_are_what_the_code_makes() {
    let lane = Lane::Bulk;
    let header = Header { lane, first: true, last: false, ack: true, sequence: 0x7ab };
    let mut ack = Vec::new();
    let (cumulative, bitmap) = (0x123, 0b1_0000_0010);
    let of_normal = Ack { lane: Lane::Normal, cumulative, cut: false, offset: 0, bitmap };
    of_normal.encode(|part| ack.extend_from_slice(part));
    let far = Header::bare(&Ack { offset: 60, cut: true, ..of_normal });
    let skips = Header { lane, first: true, last: true, ack: false, sequence: 0x123 };
    let skip = Skip { from: 0x11e, again: true }.encode(&skips);
    let vectors = [
        (hex(&header.encode()), "header: bulk, F, A, sequence 1,963"),
        (hex(&ack), "acknowledgement: normal, 291 is missing, 293 and 300 have arrived"),
        (hex(&far.encode()), "header of a packet with nothing else: offset 60, 291 came cut"),
        (
            hex(&Brief { data: true, content_bytes: 244 }.encode()),
            "data frame in one fragment of 244",
        ),
        (hex(&skips.encode()), "header: bulk, F, L, sequence 291"),
        (hex(&skip), "skip as that fragment, from 286, R"),
        (hex(&checksum(b"123456789")), "checksum of the nine bytes `123456789`"),
    ];
    for (bytes, meaning) in vectors {
        let line = format!("{bytes:<20}; {meaning}");
        assert!(DOCUMENT.lines().any(|of_document| of_document == line), "missing: {line}");
    }
}
