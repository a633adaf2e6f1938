//! Where a command writes: files, which are looked at before a log is read, and standard output.
//!
//! A document is written beside its place and then takes it: what was there stays until the new one is complete. What is
//! no regular file, such as `/dev/full` or a pipe, is written as it stands.

use crate::Failure;
use crate::input::{STDIN, place};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file name that means standard output.
pub const STDOUT: &str = "-";

const DEV_STDIN: &str = "/dev/stdin";
const DEV_STDOUT: &str = "/dev/stdout";
/// Inputs that are read whole before anything is written, each with an output that may take its place.
const UPDATES: [(&str, &str); 2] = [("--baseline", "--out"), ("--baseline", "--baseline-out")];
/// Where files are that somebody else has open: what they lead to is not to be replaced.
const DESCRIPTORS: [&str; 3] = ["/dev/fd", "/dev/stderr", "/proc"];

/// A place to write to.
#[derive(Debug)]
pub struct Output {
    option: &'static str,
    /// `None` is standard output.
    file: Option<PathBuf>,
}

impl Output {
    /// Where an option says: standard output for `-`, and where it says nothing.
    pub fn new(option: &'static str, file: Option<&Path>) -> Self {
        let is_file = |f: &&Path| ![STDOUT, DEV_STDOUT].map(Path::new).contains(f);
        Self {
            option,
            file: file.filter(is_file).map(Path::to_owned),
        }
    }

    /// What it is called.
    pub fn name(&self) -> String {
        let file = self.file.as_ref();
        file.map_or_else(|| "standard output".to_owned(), |f| f.display().to_string())
    }

    /// Whether it is standard output.
    pub fn is_standard(&self) -> bool {
        self.file.is_none()
    }

    /// Begins to write what is read while it grows.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn stream(&self) -> Result<Box<dyn Write>, Failure> {
        let Some(file) = &self.file else {
            return Ok(Box::new(BufWriter::new(io::stdout().lock())));
        };
        let file = File::create(file).map_err(|e| self.failed(&e))?;
        Ok(Box::new(BufWriter::new(file)))
    }

    /// Writes a document.
    ///
    /// # Errors
    /// It can't be written; a regular file is then what it was.
    pub fn save(
        &self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let saved = match &self.file {
            Some(file) => replace(file, write),
            None => match flushed(io::stdout().lock(), write) {
                // Whoever read it has seen enough.
                Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
                other => other,
            },
        };
        saved.map_err(|e| self.failed(&e))
    }

    /// Whether it can be written, as far as that is told without touching what is there.
    fn probe(&self) -> Result<(), Failure> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let probed = match fs::metadata(file) {
            Err(_) => Beside::new(file).map(drop),
            Ok(about) if about.is_file() || about.is_dir() => {
                File::options().write(true).open(file).map(drop)
            }
            // A pipe's reader would take it for the end.
            Ok(_) => Ok(()),
        };
        probed.map_err(|e| self.failed(&e))
    }

    fn failed(&self, why: &io::Error) -> Failure {
        Failure::at(&self.name(), why)
    }
}

/// Whether all files, inputs with the options that name them, can be used together: none is given twice, but for what is
/// brought up to date ([`UPDATES`]), and each output can be written.
///
/// # Errors
/// The first that can't.
pub fn check<'a>(
    inputs: impl IntoIterator<Item = (&'a str, &'a str)>,
    outputs: &[&Output],
) -> Result<(), Failure> {
    let read = inputs.into_iter().map(|(option, file)| {
        let path = if file == STDIN { DEV_STDIN } else { file };
        (option, place(file).to_owned(), Path::new(path))
    });
    let written = outputs.iter().map(|output| {
        let path = output.file.as_deref();
        let path = path.unwrap_or(Path::new(DEV_STDOUT));
        (output.option, output.name(), path)
    });
    let mut known = HashMap::new();
    for (option, name, path) in read.chain(written) {
        let Some(id) = Id::of(path) else {
            continue;
        };
        if let Some((other, place)) = known.get(&id) {
            if UPDATES.contains(&(*other, option)) {
                continue;
            }
            let why = format!(
                "as {option} it is the same file as {other} {place}; each must be one of its own"
            );
            return Err(Failure::at(&name, why));
        }
        known.insert(id, (option, name));
    }
    outputs.iter().try_for_each(|output| output.probe())
}

/// What tells a file from others, whatever path leads to it.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Id {
    /// Device and number of a regular file.
    Inode(u64, u64),
    Path(PathBuf),
}

impl Id {
    /// `None` of what may be given more than once, such as `/dev/null`.
    fn of(file: &Path) -> Option<Self> {
        let about = fs::metadata(file).ok().filter(fs::Metadata::is_file);
        if let Some(about) = about {
            return Some(Self::Inode(about.dev(), about.ino()));
        }
        if [DEV_STDIN, DEV_STDOUT].map(Path::new).contains(&file) {
            return Some(Self::Path(file.to_owned()));
        }
        if file.starts_with("/dev") {
            return None;
        }
        let path = std::path::absolute(file).ok()?;
        let folder = path.parent().and_then(|f| fs::canonicalize(f).ok());
        let resolved = folder.zip(path.file_name());
        Some(Self::Path(resolved.map_or_else(
            || path.clone(),
            |(folder, name)| folder.join(name),
        )))
    }
}

/// A file beside another, gone again unless it took its place.
struct Beside {
    path: PathBuf,
    file: File,
}

impl Beside {
    fn new(of: &Path) -> io::Result<Self> {
        let path = of.with_file_name(format!(".pairwatch-{}", std::process::id()));
        // One of a process that was killed may have had this number.
        let _ = fs::remove_file(&path);
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Self { path, file })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn replace(file: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let there = fs::metadata(file).ok();
    let regular = there.as_ref().is_none_or(fs::Metadata::is_file);
    if !regular || DESCRIPTORS.iter().any(|d| file.starts_with(d)) {
        return flushed(File::create(file)?, write);
    }
    // What a link leads to, so that it stays a link.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let beside = match Beside::new(&file) {
        // The folder allows no new file, but the old one may be written.
        Err(e) if e.kind() == ErrorKind::PermissionDenied && there.is_some() => {
            return flushed(File::create(file)?, write);
        }
        other => other?,
    };
    if let Some(there) = there {
        beside.file.set_permissions(there.permissions())?;
    }
    flushed(&beside.file, write)?;
    beside.file.sync_all()?;
    // What is mounted as a single file can't be replaced, only written.
    fs::rename(&beside.path, &file).or_else(|_| fs::copy(&beside.path, &file).map(drop))
}

fn flushed(
    out: impl Write,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    write(&mut out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |e: io::Result<fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
        entries.map(name).collect()
    }

    #[test]
    fn a_document_that_fails_to_be_written_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page.html");
        fs::write(&file, "of yesterday").unwrap();
        let output = Output::new("--out", Some(&file));
        let full = |out: &mut dyn Write| {
            out.write_all(&[b'x'; 100_000])?;
            Err(io::Error::from(ErrorKind::StorageFull))
        };
        output.save(full).unwrap_err();
        assert_eq!(fs::read(&file).unwrap(), b"of yesterday");
        assert_eq!(names(folder.path()), ["page.html"]);
    }

    #[test]
    fn a_document_goes_where_a_link_leads_with_the_rights_the_old_one_had() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("page"), folder.path().join("link"));
        fs::write(&file, "of yesterday").unwrap();
        let rights = <fs::Permissions as PermissionsExt>::from_mode(0o100_600);
        fs::set_permissions(&file, rights.clone()).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let output = Output::new("--out", Some(&link));
        output.save(|out| out.write_all(b"of today")).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"of today");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions(), rights);
    }
}
