use super::*;

fn seal(byte: u8) -> Seal {
    Seal::new(&Key::new([byte; KEY_BYTES])).unwrap()
}

#[test]
fn what_is_sealed_opens_for_its_owner_under_its_key_and_nowhere_else() {
    let sealed = seal(1).close(b"whk_1", b"the secret").unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"secret"));
    assert_eq!(&**seal(1).open(b"whk_1", &sealed).unwrap(), b"the secret");
    assert_eq!(seal(1).open(b"whk_2", &sealed).err(), Some(Shut));
    assert_eq!(seal(2).open(b"whk_1", &sealed).err(), Some(Shut));
    for at in 0..sealed.len() {
        let mut broken = sealed.clone();
        broken[at] ^= 1;
        assert_eq!(seal(1).open(b"whk_1", &broken).err(), Some(Shut), "byte {at}");
        assert_eq!(seal(1).open(b"whk_1", &sealed[..at]).err(), Some(Shut), "cut at {at}");
    }
    assert_ne!(seal(1).close(b"whk_1", b"the secret").unwrap(), sealed, "no nonce twice");
}

#[test]
fn a_key_is_made_once_and_only_its_owner_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.key");
    let made = key_at(&path).unwrap();
    assert_eq!(*key_at(&path).unwrap(), *made);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, KEY_MODE);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let other = key_at(&directory.path().join("other.key")).unwrap();
    assert_ne!(*other, *made);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(key_at(&path), Err(KeyError::Open { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for text in ["", "abc", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
        fs::write(&path, text).unwrap();
        assert!(matches!(key_at(&path), Err(KeyError::NotAKey { .. })), "{text}");
    }
    let nowhere = directory.path().join("no/store.key");
    assert!(matches!(key_at(&nowhere), Err(KeyError::Io { .. })));
}

#[test]
fn many_that_make_a_key_at_once_agree_on_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.key");
    let other = directory.path().join("made.key");
    let made = make(&other).unwrap();
    fs::hard_link(&other, &path).unwrap();
    let error = make(&path).err().unwrap();
    assert!(
        matches!(error, KeyError::Io { error, .. } if error.kind() == io::ErrorKind::AlreadyExists)
    );
    assert_eq!(*key_at(&path).unwrap(), *made);
}
