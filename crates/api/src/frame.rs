//! Varlink's framing: JSON objects, each followed by a NUL byte.
//!
//! [`Splitter`] is a pure function over the bytes that came in, with a bound on what it keeps.

use serde::Serialize;

/// The longest request that the daemon accepts, in bytes. The longest real one is a few hundred.
pub const MAX_REQUEST: usize = 16 * 1024;

/// The longest reply that a client accepts, in bytes: many hundred bonds.
pub const MAX_REPLY: usize = 4 * 1024 * 1024;

/// Cuts a stream of bytes into messages.
#[derive(Debug)]
pub struct Splitter {
    buffer: Vec<u8>,
    limit: usize,
}

/// A message is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message is longer than {limit} bytes")]
pub struct TooLong {
    /// The limit, in bytes.
    pub limit: usize,
}

impl Splitter {
    /// Nothing has come in; messages may have `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), limit }
    }

    /// These bytes came in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, without its NUL; `None`: there is none yet.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let too_long = TooLong { limit: self.limit };
        let Some(end) = self.buffer.iter().position(|&byte| byte == 0) else {
            return if self.buffer.len() > self.limit { Err(too_long) } else { Ok(None) };
        };
        if end > self.limit {
            return Err(too_long);
        }
        let rest = self.buffer.split_off(end + 1);
        let mut message = std::mem::replace(&mut self.buffer, rest);
        message.truncate(end);
        Ok(Some(message))
    }

    /// Has part of a message come in?
    pub fn is_partial(&self) -> bool {
        !self.buffer.is_empty()
    }
}

/// A message as it goes over the wire.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(message)?;
    bytes.push(0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn drain(splitter: &mut Splitter) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| splitter.next_message().unwrap()).collect()
    }

    proptest! {
        /// However the bytes are cut up on their way, the same messages come out.
        #[test]
        fn cuts_do_not_matter(
            messages in prop::collection::vec(prop::collection::vec(1u8.., 0..20), 0..8),
            chunk in 1usize..30,
        ) {
            let wire: Vec<u8> = messages.iter().flat_map(|m| m.iter().copied().chain([0])).collect();
            let mut splitter = Splitter::new(20);
            let mut out = Vec::new();
            for bytes in wire.chunks(chunk) {
                splitter.push(bytes);
                out.extend(drain(&mut splitter));
            }
            prop_assert_eq!(out, messages);
            prop_assert!(!splitter.is_partial());
        }
    }

    #[test]
    fn the_limit_holds_with_and_without_an_end() {
        let mut splitter = Splitter::new(4);
        splitter.push(b"1234\0");
        assert_eq!(splitter.next_message(), Ok(Some(b"1234".to_vec())));
        splitter.push(b"12345");
        assert_eq!(splitter.next_message(), Err(TooLong { limit: 4 }));
        let mut splitter = Splitter::new(4);
        splitter.push(b"12345\0");
        assert_eq!(splitter.next_message(), Err(TooLong { limit: 4 }));
    }
}
