//! Any bytes from a client, in any pieces.
#![no_main]

use hitless_api::Call;
use hitless_api::frame::{MAX_REQUEST, Splitter};

libfuzzer_sys::fuzz_target!(|pieces: Vec<Vec<u8>>| {
    let mut splitter = Splitter::new(MAX_REQUEST);
    for piece in pieces {
        splitter.push(&piece);
        while let Ok(Some(message)) = splitter.next_message() {
            drop(Call::parse(&message));
        }
    }
});
