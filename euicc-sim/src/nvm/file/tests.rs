use super::*;

fn put(nvm: &mut FileNvm, key: Key, data: &[u8]) {
    nvm.commit(&[Write::Put(key, data)], Durability::Flushed)
        .unwrap();
}

#[test]
fn a_file_cut_anywhere_has_the_batches_before_the_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nvm");
    let mut nvm = FileNvm::open(&path).unwrap();
    let mut ends = vec![(nvm.len, 0)];
    for n in 0..4u16 {
        let data = vec![n as u8; usize::from(n) * 7];
        let batch = [
            Write::Put(Key::Image(n), &data),
            Write::Put(Key::Card, &data),
            Write::Delete(Key::Image(n.wrapping_sub(1))),
        ];
        nvm.commit(&batch, Durability::Flushed).unwrap();
        ends.push((nvm.len, n + 1));
    }
    drop(nvm);
    let mut whole = fs::read(&path).unwrap();
    let end = ends.last().map_or(0, |(end, _)| *end as usize);
    assert!(whole[end..].iter().all(|b| *b == 0), "room is zeros");
    assert_eq!(FileNvm::open(&path).unwrap().len, end as u64);
    // Some of the room is enough to cut in.
    whole.truncate(end + 24);
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        if cut < HEADER {
            // Never made so, and not taken for an empty card.
            for open in [
                |p: &Path| FileNvm::open(p).map(drop),
                |p: &Path| FileNvm::repair(p).map(drop),
            ] {
                let error = open(&path).unwrap_err();
                assert!(matches!(error, OpenError::CutOff { size, .. } if size == cut as u64));
                assert_eq!(fs::read(&path).unwrap().len(), cut, "nothing was changed");
            }
            continue;
        }
        let mut nvm = FileNvm::open(&path).unwrap();
        let batches = ends.iter().rev().find(|(end, _)| *end <= cut as u64);
        let batches = batches.map_or(0, |(_, n)| *n);
        let images = (0..4).filter(|n| nvm.get(Key::Image(*n)).unwrap().is_some());
        let expected: Vec<u16> = batches.checked_sub(1).into_iter().collect();
        assert_eq!(images.collect::<Vec<_>>(), expected, "cut at {cut}");
        // It goes on from there.
        put(&mut nvm, Key::OneTimeKey, b"later");
        drop(nvm);
        let mut nvm = FileNvm::open(&path).unwrap();
        assert_eq!(nvm.get(Key::OneTimeKey).unwrap().unwrap(), b"later");
    }
}

#[test]
fn a_changed_byte_in_the_middle_is_told_and_repaired_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nvm");
    let mut nvm = FileNvm::open(&path).unwrap();
    let mut ends = vec![HEADER];
    for n in 0..4u16 {
        put(&mut nvm, Key::Image(n), &[7; 40]);
        ends.push(nvm.len as usize);
    }
    drop(nvm);
    let whole = fs::read(&path).unwrap();
    for at in HEADER..ends[4] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&path, &bytes).unwrap();
        let batch = ends.iter().rposition(|end| *end <= at).unwrap();
        if batch == 3 {
            // Nothing tells this from a write that was cut off.
            assert_eq!(FileNvm::open(&path).unwrap().len, ends[3] as u64);
            continue;
        }
        let error = FileNvm::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { at, .. } if at == ends[batch] as u64));
        assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was changed");
        let text = FileNvm::repair(&path).unwrap();
        assert!(text.contains("gave up"), "{text}");
        let copy = folder.path().join("nvm.damaged");
        assert_eq!(fs::read(&copy).unwrap(), bytes);
        let mut nvm = FileNvm::open(&path).unwrap();
        let images = (0..4).filter(|n| nvm.get(Key::Image(*n)).unwrap().is_some());
        assert_eq!(images.count(), batch);
        put(&mut nvm, Key::Card, b"later");
    }
    fs::write(&path, &whole).unwrap();
    let text = FileNvm::repair(&path).unwrap();
    assert!(text.contains("is not damaged: 4 records"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn foreign_locked_and_other_files_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nvm");
    fs::write(&path, b"# my notes about smart cards").unwrap();
    let error = FileNvm::open(&path).unwrap_err().to_string();
    assert!(error.contains("not the memory of an euicc-sim"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"# my notes about smart cards");
    fs::write(&path, b"AIDEUICC\0\0\0\x09").unwrap();
    let error = FileNvm::open(&path).unwrap_err().to_string();
    assert!(error.contains("format 9"), "{error}");
    fs::remove_file(&path).unwrap();
    let _first = FileNvm::open(&path).unwrap();
    let error = FileNvm::open(&path).unwrap_err().to_string();
    assert!(error.contains("in use"), "{error}");
    let error = FileNvm::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cannot be opened"), "{error}");
}

#[test]
fn the_file_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nvm");
    let mut nvm = FileNvm::open(&path).unwrap();
    let data = vec![7; 100_000];
    for _ in 0..40 {
        let batch = [Write::Put(Key::Image(1), &data)];
        nvm.commit(&batch, Durability::Buffered).unwrap();
    }
    nvm.flush().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 2 * 100_000 + 2 * SLACK);
    assert!(matches!(FileNvm::open(&path), Err(OpenError::InUse { .. })));
    drop(nvm);
    let mut nvm = FileNvm::open(&path).unwrap();
    assert_eq!(nvm.get(Key::Image(1)).unwrap().unwrap(), data);
}

#[test]
fn a_full_disk_leaves_the_old_state() {
    let Ok(file) = OpenOptions::new().read(true).write(true).open("/dev/full") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    // A folder where no other file can be made: it is none.
    let path = folder.path().join("gone/nvm");
    let mut nvm = FileNvm {
        path: path.clone(),
        file,
        records: BTreeMap::from([(Key::Card, b"old".to_vec())]),
        len: 0,
        room: 0,
        failed: None,
    };
    let batch = [Write::Put(Key::Card, &b"new"[..])];
    for _ in 0..2 {
        let error = nvm.commit(&batch, Durability::Flushed).unwrap_err();
        assert!(error.reason.contains("gone/nvm"), "{error}");
        assert_eq!(nvm.get(Key::Card).unwrap().unwrap(), b"old");
    }
    // As soon as there is a disk, it goes on.
    fs::create_dir(folder.path().join("gone")).unwrap();
    nvm.commit(&batch, Durability::Flushed).unwrap();
    put(&mut nvm, Key::OneTimeKey, b"later");
    drop(nvm);
    let mut nvm = FileNvm::open(&path).unwrap();
    assert_eq!(nvm.get(Key::Card).unwrap().unwrap(), b"new");
    assert_eq!(nvm.get(Key::OneTimeKey).unwrap().unwrap(), b"later");
}
