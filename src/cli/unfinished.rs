//! A file that gets its name once it is whole and on disk.

use anyhow::{Context, bail};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Nobody but its owner reads it.
const FILE_MODE: u32 = 0o600;

/// A file in the making, beside the place that it is for. It goes when this goes, unless it is kept.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// An empty file, readable and writable, for `place`.
    pub(super) fn beside(place: &Path, ending: &str) -> anyhow::Result<(Self, File)> {
        let path = with_ending(place, ending);
        let mut open = OpenOptions::new();
        open.read(true).write(true).create(true).truncate(true).mode(FILE_MODE);
        let file = open.open(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok((Self { path }, file))
    }

    /// Where it is for now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, in place of what may have had it.
    pub(super) fn keep(self, place: &Path) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}", place.display());
        File::open(&self.path).and_then(|file| file.sync_all()).with_context(cannot)?;
        fs::rename(&self.path, place).with_context(cannot)?;
        sync_directory_of(place).with_context(cannot)
    }

    /// The same, where nothing has the name yet.
    pub(super) fn keep_new(self, place: &Path) -> anyhow::Result<()> {
        if place.exists() {
            bail!("{} is there already: name another file", place.display());
        }
        self.keep(place)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It has its name by now, or nobody wants it.
        let _gone = fs::remove_file(&self.path);
    }
}

/// The names in a directory are as durable as the directory.
pub(super) fn sync_directory_of(file: &Path) -> std::io::Result<()> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

/// A path with something behind its last character.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn it_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().join("place");
        let (unfinished, mut file) = Unfinished::beside(&place, ".partial").expect("made");
        file.write_all(b"half").expect("written");
        drop(unfinished);
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);

        let (unfinished, mut file) = Unfinished::beside(&place, ".partial").expect("made");
        file.write_all(b"whole").expect("written");
        unfinished.keep_new(&place).expect("kept");
        assert_eq!(fs::read(&place).expect("there"), b"whole");
        assert_eq!(fs::metadata(&place).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);

        let (unfinished, _file) = Unfinished::beside(&place, ".partial").expect("made");
        assert!(unfinished.keep_new(&place).is_err());
        assert_eq!(fs::read(&place).expect("there"), b"whole");
    }
}
