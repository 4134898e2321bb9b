//! Which peer is meant: an exact key, then an exact device name, then the beginning of a key.

use std::collections::BTreeMap;

use hedgerow::{Peer, PeerKey};

use crate::failure::{Candidate, ErrorCode, Failure};

/// The shortest beginning of a key: `pk` and four characters.
const PREFIX_CHARACTERS_MIN: usize = 6;

/// The peers that can be named, with their device names.
pub(crate) type Names = BTreeMap<PeerKey, String>;

/// The names of `peers`.
pub(crate) fn names<'a>(peers: impl IntoIterator<Item = &'a Peer>) -> Names {
    peers.into_iter().map(|peer| (peer.peer_key, peer.device_name.clone())).collect()
}

/// The peer that `text` names; `None` if there is none. Cases matter.
///
/// # Errors
/// [`ErrorCode::PeerAmbiguous`] with the candidates.
pub(crate) fn find(names: &Names, text: &str) -> Result<Option<PeerKey>, Failure> {
    if let Ok(key) = text.parse::<PeerKey>()
        && names.contains_key(&key)
    {
        return Ok(Some(key));
    }
    let by_name: Names = select(names, |_, name| !name.is_empty() && name == text);
    let is_prefix = text.starts_with("pk") && text.chars().count() >= PREFIX_CHARACTERS_MIN;
    let found = match by_name.is_empty() {
        true if is_prefix => select(names, |key, _| key.to_string().starts_with(text)),
        _ => by_name,
    };
    match found.len() {
        0 => Ok(None),
        1 => Ok(found.into_keys().next()),
        _ => Err(ambiguous(text, found)),
    }
}

fn select(names: &Names, matches: impl Fn(&PeerKey, &str) -> bool) -> Names {
    let matching = names.iter().filter(|(key, name)| matches(key, name));
    matching.map(|(key, name)| (*key, name.clone())).collect()
}

fn ambiguous(text: &str, found: Names) -> Failure {
    let message = format!("{} peers go by {text:?}", found.len());
    let hint = "name one by its peer key, or by more of it";
    let mut failure = Failure::new(ErrorCode::PeerAmbiguous, message, hint);
    let candidate = |(key, device_name): (PeerKey, String)| Candidate {
        peer_key_string: key.to_string(),
        device_name,
    };
    failure.candidates = found.into_iter().map(candidate).collect();
    failure
}

/// The failure for a text that names nobody.
pub(crate) fn unknown(text: &str) -> Failure {
    let message = format!("no peer goes by {text:?}");
    let hint = "see `hedgerow peers`; a peer is named by its key, its exact device name, or at \
                least 6 characters of its key (`pk...`)";
    Failure::new(ErrorCode::PeerUnknown, message, hint)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Three keys that begin alike.
    pub(crate) fn keys() -> Vec<PeerKey> {
        let mut keys = Vec::new();
        for first in 0..=u8::MAX {
            let mut bytes = [0; 32];
            // About one number of sixteen is a key.
            for last in 0..0x80 {
                bytes[31] = last;
                bytes[0] = first;
                if let Ok(key) = PeerKey::from_bytes(bytes) {
                    keys.push(key);
                }
                if keys.len() == 3 {
                    return keys;
                }
            }
        }
        panic!("some small numbers are keys");
    }

    fn three() -> (Names, Vec<PeerKey>) {
        let keys = keys();
        let named = ["kitchen", "garden", "garden"];
        let names = keys.iter().copied().zip(named.map(String::from)).collect();
        (names, keys)
    }

    #[test]
    fn an_exact_key_goes_before_an_exact_name() {
        let (mut names, keys) = three();
        names.insert(keys[1], keys[0].to_string());
        assert_eq!(find(&names, &keys[0].to_string()), Ok(Some(keys[0])));
    }

    #[test]
    fn an_exact_name_goes_before_a_prefix() {
        let (mut names, keys) = three();
        let prefix = keys[0].to_string()[..8].to_owned();
        names.insert(keys[2], prefix.clone());
        assert_eq!(find(&names, &prefix), Ok(Some(keys[2])));
    }

    #[test]
    fn cases_matter() {
        let (names, keys) = three();
        assert_eq!(find(&names, "kitchen"), Ok(Some(keys[0])));
        assert_eq!(find(&names, "Kitchen"), Ok(None));
        let upper = keys[0].to_string().to_uppercase();
        assert_eq!(find(&names, &upper), Ok(None));
    }

    #[test]
    fn two_with_one_name_are_candidates() {
        let (names, keys) = three();
        let failure = find(&names, "garden").unwrap_err();
        assert_eq!(failure.code, ErrorCode::PeerAmbiguous);
        let mut found: Vec<_> =
            failure.candidates.iter().map(|c| c.peer_key_string.clone()).collect();
        let mut expected = vec![keys[1].to_string(), keys[2].to_string()];
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_prefix_is_unique_and_long_enough() {
        let (names, keys) = three();
        let texts: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let common = texts[1].chars().zip(texts[2].chars()).take_while(|(a, b)| a == b).count();
        assert!(common >= 6, "the two keys begin alike: {texts:?}");
        assert!(find(&names, &texts[1][..6]).is_err());
        let unique = (7..=45).find_map(|end| find(&names, &texts[1][..end]).ok().flatten());
        assert_eq!(unique, Some(keys[1]));
        assert_eq!(find(&names, &texts[1][..5]), Ok(None), "too short");
        assert_eq!(find(&names, &texts[1][2..20]), Ok(None), "without pk");
        assert_eq!(find(&names, ""), Ok(None));
    }
}
