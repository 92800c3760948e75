//! The car as a virtual machine: QEMU without KVM on the image of `just image`, its disk one of ours, its power in our hands.

use super::disk::{Cut, Disk, SECTOR};
use super::nbd;
use super::pause;
use crate::fleet::Random;
use crate::process::spawn_at_gate;
use crate::story::agent::Agent;
use aid_cli::cli::Failure;
use aid_cli::private;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Size of the car's disk, MiB.
const DISK_MIB: usize = 24;
/// Longest wait for the API after power on; emulation on a busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Between two looks for a flush.
const FLUSH_LOOK: Duration = Duration::from_millis(2);

/// The car.
pub(super) struct Machine {
    image: PathBuf,
    folder: PathBuf,
    disk: Arc<Mutex<Disk>>,
    /// How often it was switched on.
    starts: u32,
    /// Port on 127.0.0.1 at which its API is.
    pub(super) port: u16,
    power: Option<Power>,
}

/// A machine that is on.
struct Power {
    child: Child,
    /// Serves the disk until QEMU is gone.
    thread: JoinHandle<()>,
    /// Where the disk is reached.
    socket: PathBuf,
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(mut power) = self.power.take() {
            let _ = power.child.kill();
            let _ = power.child.wait();
        }
    }
}

impl Machine {
    /// A machine with this image, whose disk gets the files of `content`.
    pub(super) fn new(image: &Path, folder: &Path, content: &Path) -> Result<Self, Failure> {
        for name in ["vmlinuz", "initrd", "root.ext4"] {
            if !image.join(name).is_file() {
                let image = image.display();
                return Err(Failure::usage(format!(
                    "{image} has no {name}; `just image` makes the image, --image names its folder"
                )));
            }
        }
        let image = image.canonicalize()?;
        let file = folder.join("disk.img");
        let made = Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-b", &SECTOR.to_string(), "-d"])
            .arg(content)
            .arg(&file)
            .arg(format!("{DISK_MIB}M"))
            .output()
            .map_err(|e| missing("mke2fs", "e2fsprogs", &e))?;
        if !made.status.success() {
            let text = String::from_utf8_lossy(&made.stderr);
            return Err(Failure::new(format!("mke2fs: {}", text.trim())));
        }
        let disk = Arc::new(Mutex::new(Disk::new(fs::read(&file)?)));
        fs::remove_file(&file)?;
        // Free now; nobody on a bench takes it before QEMU does.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self {
            image,
            folder: folder.to_owned(),
            disk,
            starts: 0,
            port,
            power: None,
        })
    }

    /// Switches it on.
    pub(super) fn on(&mut self) -> Result<(), Failure> {
        let console = private::options()
            .create(true)
            .append(true)
            .open(self.folder.join("console.log"))?;
        // A socket of its own each time: nobody who came to an earlier one is in the way.
        self.starts += 1;
        let socket = self.folder.join(format!("disk-{}.sock", self.starts));
        let listener = UnixListener::bind(&socket)?;
        let root = self.image.join("root.ext4").display().to_string();
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-machine", "pc,accel=tcg", "-cpu", "max", "-m", "192"])
            .args([
                "-display",
                "none",
                "-monitor",
                "none",
                "-no-reboot",
                "-serial",
                "stdio",
            ])
            .arg("-kernel")
            .arg(self.image.join("vmlinuz"))
            .arg("-initrd")
            .arg(self.image.join("initrd"))
            .arg("-append")
            .arg("console=ttyS0 quiet panic=-1 car.ro car.init=/usr/lib/car/bare")
            .arg("-drive")
            .arg(format!(
                "file={root},if=none,id=root,format=raw,readonly=on"
            ))
            .args(["-device", "virtio-blk-pci,drive=root"])
            .arg("-drive")
            // The guest sees a write cache, and its flushes reach our disk.
            .arg(format!(
                "file=nbd:unix:{},if=none,id=car,format=raw,cache=writeback",
                socket.display()
            ))
            .arg("-device")
            .arg(format!(
                "virtio-blk-pci,drive=car,logical_block_size={SECTOR},physical_block_size={SECTOR}"
            ))
            .arg("-netdev")
            .arg(format!(
                "user,id=net,hostfwd=tcp:127.0.0.1:{}-10.0.2.15:7000",
                self.port
            ))
            .args([
                "-device",
                "virtio-net-pci,netdev=net",
                "-device",
                "virtio-rng-pci",
            ])
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console);
        let disk = Arc::clone(&self.disk);
        let child = spawn_at_gate(&mut command)
            .map_err(|e| missing("qemu-system-x86_64", "qemu-system-x86", &e))?;
        let thread = std::thread::spawn(move || {
            if let Ok((mut client, _)) = listener.accept() {
                // It ends in the middle of anything when QEMU is killed.
                let _ = nbd::serve(&mut client, &disk);
            }
        });
        self.power = Some(Power {
            child,
            thread,
            socket,
        });
        Ok(())
    }

    /// Waits until its API answers.
    pub(super) fn wait(&mut self, agent: &Agent) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        while agent.status().is_err() {
            let ended = match &mut self.power {
                Some(power) => power.child.try_wait()?.is_some(),
                None => true,
            };
            if ended || Instant::now() > end {
                let log = self.folder.join("console.log");
                let text = fs::read_to_string(&log).unwrap_or_default();
                let last: Vec<&str> = text.lines().rev().take(5).collect();
                return Err(Failure::new(format!(
                    "the virtual machine did not come up; the last lines of {}: {}",
                    log.display(),
                    last.into_iter().rev().collect::<Vec<_>>().join(" / ")
                )));
            }
            pause(LOOK);
        }
        Ok(())
    }

    /// Cuts its power in the middle of a flush, if one comes in this time.
    pub(super) fn cut_in_flush(
        &mut self,
        time: Duration,
        random: &mut Random,
    ) -> Result<Cut, Failure> {
        self.disk().armed = true;
        let end = Instant::now() + time;
        while !self.disk().struck && Instant::now() < end {
            pause(FLUSH_LOOK);
        }
        self.cut(random)
    }

    /// Cuts its power; what was not flushed is lost as the draw says.
    pub(super) fn cut(&mut self, random: &mut Random) -> Result<Cut, Failure> {
        if let Some(mut power) = self.power.take() {
            power.child.kill()?;
            power.child.wait()?;
            // A machine that was cut before it had its disk never connects: this ends the wait for it.
            drop(UnixStream::connect(&power.socket));
            let _ = power.thread.join();
            fs::remove_file(&power.socket)?;
        }
        Ok(self.disk().cut(random))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Flushes that the disk has seen.
    pub(super) fn flushes(&self) -> u64 {
        self.disk().flushes
    }
}

fn missing(program: &str, package: &str, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "cannot run {program}: {error}; Debian: apt-get install {package}"
    ))
}
