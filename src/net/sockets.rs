//! What sockets of all kinds have: descriptors in and out, timeouts, bytes of streams. Macros, since std's types have these
//! methods, but no trait for them.

/// Descriptors in and out, std's type in and out, clones, and the end of a socket that others share.
macro_rules! socket {
    ($type:ident of $std:ty, $family:ident, $name:literal) => {
        impl $type {
            /// Takes over a socket of std's. Its timeouts are not taken over.
            ///
            /// # Errors
            /// If it can't be put into non-blocking mode.
            pub fn from_std(socket: $std) -> io::Result<$type> {
                socket.set_nonblocking(true)?;
                Ok($type::of(socket, None))
            }

            /// The socket as one of std's, in blocking mode.
            ///
            /// # Errors
            /// If it can't be put into blocking mode.
            pub fn into_std(self) -> io::Result<$std> {
                let socket = self.inner.into_inner();
                socket.set_nonblocking(false)?;
                Ok(socket)
            }

            /// The socket's pending error, which is cleared.
            ///
            /// # Errors
            /// As std's.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.inner.take_error()
            }

            /// Ends the use of the socket by all coroutines that share it: who waits on it, or uses it from now on, gets an
            /// error of the kind `NotConnected`; its peer is told. The descriptor itself is closed when the socket is
            /// dropped, so that nobody can meet another one under its number. Clones have a descriptor of their own, and
            /// go on to the end of the connection.
            ///
            /// ```
            /// # use std::{io::Read, sync::Arc};
            /// # use coro::net::UnixStream;
            /// coro::run(|| {
            ///     let (stream, _peer) = UnixStream::pair()?;
            ///     let stream = Arc::new(stream);
            ///     let shared = stream.clone();
            ///     let reader = coro::spawn(move || (&*shared).read(&mut [0]));
            ///     coro::yield_now(); // it waits
            ///     stream.close();
            ///     assert_eq!(reader.join().unwrap().unwrap_err().kind(), std::io::ErrorKind::NotConnected);
            ///     Ok::<(), std::io::Error>(())
            /// })??;
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            pub fn close(&self) {
                self.inner.close();
            }
        }

        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.inner.as_fd()
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.inner.as_raw_fd()
            }
        }

        impl From<$type> for OwnedFd {
            /// The descriptor, in non-blocking mode.
            fn from(socket: $type) -> OwnedFd {
                OwnedFd::from(socket.inner.into_inner())
            }
        }

        impl IntoRawFd for $type {
            /// The descriptor, in non-blocking mode.
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        impl TryFrom<OwnedFd> for $type {
            type Error = io::Error;

            /// Adopts a descriptor, which is put into non-blocking mode. It is an error if it is not of this kind of socket.
            fn try_from(descriptor: OwnedFd) -> io::Result<$type> {
                told::expect_kind(&descriptor, told::Family::$family, <$std as told::Told>::ROLE, $name)?;
                $type::from_std(<$std>::from(descriptor))
            }
        }
    };
}

/// Timeouts, and the operations that they are for.
macro_rules! timeouts {
    ($type:ident) => {
        impl $type {
            /// How long a read may wait; `None` (at first): for ever. A read that took longer fails with `TimedOut`.
            ///
            /// # Errors
            /// `InvalidInput` for a timeout of zero.
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.read_timeout.set(timeout)
            }

            /// How long a write may wait; `None` (at first): for ever. A write that took longer fails with `TimedOut`.
            ///
            /// # Errors
            /// `InvalidInput` for a timeout of zero.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.write_timeout.set(timeout)
            }

            /// How long a read may wait.
            ///
            /// # Errors
            /// None; it is std's signature.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.read_timeout.get())
            }

            /// How long a write may wait.
            ///
            /// # Errors
            /// None; it is std's signature.
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.write_timeout.get())
            }

            /// Another handle of the same socket, with a descriptor and timeouts of its own.
            ///
            /// # Errors
            /// As std's.
            pub fn try_clone(&self) -> io::Result<$type> {
                let clone = $type::of(self.inner.try_clone()?, None);
                clone.set_read_timeout(self.read_timeout.get())?;
                clone.set_write_timeout(self.write_timeout.get())?;
                Ok(clone)
            }

            /// To be waited for in [`select!`](crate::select) until a read would not wait.
            pub fn readable(&self) -> Readiness<'_> {
                Readiness::new(&self.inner, Direction::Read, WaitReason::Read)
            }

            /// To be waited for in [`select!`](crate::select) until a write would not wait.
            pub fn writable(&self) -> Readiness<'_> {
                Readiness::new(&self.inner, Direction::Write, WaitReason::Write)
            }

            fn reading(&self) -> Operation {
                let timeout = self.read_timeout.get();
                Operation { direction: Direction::Read, reason: WaitReason::Read, timeout }
            }

            fn writing(&self) -> Operation {
                let timeout = self.write_timeout.get();
                Operation { direction: Direction::Write, reason: WaitReason::Write, timeout }
            }
        }
    };
}

/// A stream's bytes. `short_is_drained`: whether a read that got less than there was room for has got all there was.
macro_rules! stream {
    ($type:ident, short_is_drained: $short_is_drained:literal) => {
        impl $type {
            /// Ends reading, writing or both; who waits for it is woken.
            ///
            /// # Errors
            /// As std's.
            pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.inner.shutdown(how)
            }

            /// Sends a part of a file, which the kernel passes on by itself (sendfile(2)) where it can; else through a small
            /// buffer. The file's own position is neither used nor moved.
            ///
            /// It says how many bytes were sent, in all waits together within the write timeout. That is less than `length`
            /// when the file has ended, and also when something failed after a part was sent: as with a short write, what is
            /// left can be tried again, and the next call says what is wrong (or 0, at the file's end).
            ///
            /// The file is read on the worker's own thread: what is not in memory keeps the other coroutines waiting for the
            /// disk.
            ///
            /// ```
            /// # use std::{fs::File, io::{Read, Write}};
            /// # use coro::net::UnixStream;
            /// # let own = (std::process::id(), std::thread::current().id());
            /// # let path = std::env::temp_dir().join(format!("coro-doc-{own:?}.txt"));
            /// std::fs::write(&path, "hello from a file")?;
            /// coro::run(|| {
            ///     let (mut here, there) = UnixStream::pair()?;
            ///     let file = File::open(&path)?;
            ///     assert_eq!(there.send_file(&file, 6, 4)?, 4);
            ///     assert_eq!(there.send_file(&file, 10, 1_000_000)?, 7); // the file has no more
            ///     drop(there);
            ///     let mut text = String::new();
            ///     here.read_to_string(&mut text)?;
            ///     assert_eq!(text, "from a file");
            ///     Ok::<(), std::io::Error>(())
            /// })??;
            /// # std::fs::remove_file(&path)?;
            /// # Ok::<(), Box<dyn std::error::Error>>(())
            /// ```
            ///
            /// # Errors
            /// If nothing was sent: as [`write`](Write::write), `TimedOut` among them; what reading the file fails with;
            /// `InvalidInput` for an offset that no file has.
            pub fn send_file(&self, file: &File, offset: u64, length: u64) -> io::Result<u64> {
                let operation = self.writing();
                let mut patience = operation.timeout.map(Patience::new);
                send_file::send(&self.inner, operation, patience.as_mut(), Part { file, offset, length })
            }
        }

        impl Read for &$type {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let room = buffer.len();
                let count = self.inner.run_sized(
                    self.reading(),
                    |stream| receive(stream, buffer),
                    |n| $short_is_drained && 0 < *n && *n < room,
                )?;
                self.inner.unless_closed(self.reading(), count, room)
            }

            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let room = buffers.iter().map(|buffer| buffer.len()).sum();
                let count = self.inner.run_sized(
                    self.reading(),
                    |mut stream| stream.read_vectored(buffers),
                    |n| $short_is_drained && 0 < *n && *n < room,
                )?;
                self.inner.unless_closed(self.reading(), count, room)
            }
        }

        impl Write for &$type {
            fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
                let wanted = buffer.len();
                self.inner.run_sized(self.writing(), |stream| transmit(stream, buffer), |n| *n < wanted)
            }

            fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                let wanted = buffers.iter().map(|buffer| buffer.len()).sum();
                self.inner.run_sized(
                    self.writing(),
                    |mut stream| stream.write_vectored(buffers),
                    |n| *n < wanted,
                )
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Read for $type {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buffer)
            }

            fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(buffers)
            }
        }

        impl Write for $type {
            fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
                (&*self).write(buffer)
            }

            fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(buffers)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}

/// `Incoming`, the connections of a listener as they come.
macro_rules! incoming {
    ($incoming:ident of $listener:ident, $stream:ident) => {
        /// The connections of a listener as they come: see its `incoming`.
        #[derive(Debug)]
        pub struct $incoming<'a> {
            listener: &'a $listener,
        }

        impl $listener {
            /// To be waited for in [`select!`](crate::select) until there is a connection to accept.
            pub fn readable(&self) -> Readiness<'_> {
                Readiness::new(&self.inner, Direction::Read, WaitReason::Accept)
            }

            /// The connections as they come; it ends only when the listener was closed.
            pub fn incoming(&self) -> $incoming<'_> {
                $incoming { listener: self }
            }
        }

        impl Iterator for $incoming<'_> {
            type Item = io::Result<$stream>;

            fn next(&mut self) -> Option<io::Result<$stream>> {
                match self.listener.accept() {
                    Ok((stream, _)) => Some(Ok(stream)),
                    Err(_) if self.listener.inner.has_been_closed() => None,
                    Err(error) => Some(Err(error)),
                }
            }
        }

        impl<'a> IntoIterator for &'a $listener {
            type Item = io::Result<$stream>;
            type IntoIter = $incoming<'a>;

            fn into_iter(self) -> $incoming<'a> {
                self.incoming()
            }
        }
    };
}

pub(super) use {incoming, socket, stream, timeouts};
