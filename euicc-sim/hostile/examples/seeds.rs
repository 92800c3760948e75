//! Writes the seeds of every fuzz target: `cargo run -p aid-hostile --example seeds -- DIR` makes
//! `DIR/<target>/seed-NNN`. Then `cargo fuzz cmin` keeps what finds something new.
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let Some(dir) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("usage: seeds DIR"));
    };
    for (number, (target, seed)) in aid_hostile::seeds::all().into_iter().enumerate() {
        let folder = dir.join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}
