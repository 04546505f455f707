//! As much of HTTP/1.1 as clients need: requests with a stated length, connections that are kept.

use super::dialects::{self, Reply};
use super::{Mischief, Seen, Shared, locked};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(super) fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.ends.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if shared.is_dead.load(Ordering::SeqCst) {
            continue;
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // A client that goes away is no fault of the server.
            let _ = converse(&stream, &shared);
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

fn converse(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(mut seen) = read_request(&mut reader)? {
        if shared.is_dead.load(Ordering::SeqCst) || shared.ends.load(Ordering::SeqCst) {
            return Ok(());
        }
        // Questions to find out about the server are not counted among the others.
        seen.number = if seen.body.is_null() { 0 } else { shared.n_seen.fetch_add(1, Ordering::SeqCst) };
        *locked(&shared.counted).requests.entry(seen.path.clone()).or_default() += 1;
        let mischief = locked(&shared.plot).as_mut().and_then(|plot| plot(&seen));
        if !answer(stream, shared, seen, mischief)? {
            return Ok(());
        }
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Seen>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or("/").to_string();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "authorization" => authorization = Some(value.trim().to_string()),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Seen {
        number: 0,
        path,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        authorization,
    }))
}

/// Whether the connection is kept.
fn answer(
    mut stream: &TcpStream,
    shared: &Shared,
    mut seen: Seen,
    mischief: Option<Mischief>,
) -> std::io::Result<bool> {
    match mischief {
        Some(Mischief::Reset) => return Ok(false),
        Some(Mischief::Hang(time)) => {
            std::thread::sleep(time);
            return Ok(false);
        }
        Some(Mischief::Status(status, headers, body)) => {
            write(stream, status, &headers, body.as_bytes(), body.len())?;
            return Ok(true);
        }
        _ => {}
    }
    if let Some(Mischief::Ignore(field)) = &mischief
        && let Some(body) = seen.body.as_object_mut()
    {
        body.remove(*field);
    }
    let Reply { status, mut body } = dialects::reply(shared, &seen);
    if shared.is_dead.load(Ordering::SeqCst) {
        return Ok(false);
    }
    if let Some(Mischief::Change(change)) = mischief {
        change(&mut body);
        let text = body.to_string();
        write(stream, status, &[], text.as_bytes(), text.len())?;
        return Ok(true);
    }
    let text = body.to_string();
    match mischief {
        Some(Mischief::Cut(n)) => {
            write(stream, status, &[], &text.as_bytes()[..n.min(text.len())], text.len())?;
            stream.flush()?;
            return Ok(false);
        }
        Some(Mischief::Truncated(n)) => {
            let n = n.min(text.len());
            write(stream, status, &[], &text.as_bytes()[..n], n)?;
        }
        Some(Mischief::Body(other)) => write(stream, status, &[], other.as_bytes(), other.len())?,
        Some(Mischief::Text(change)) => {
            let changed = change(text);
            write(stream, status, &[], changed.as_bytes(), changed.len())?;
        }
        _ => write(stream, status, &[], text.as_bytes(), text.len())?,
    }
    Ok(true)
}

fn write(
    mut stream: &TcpStream,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
    length: usize,
) -> std::io::Result<()> {
    let mut head =
        format!("HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
