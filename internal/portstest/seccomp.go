package portstest

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Refusal of a system call. With Argument set, only calls whose second argument is Value are
// refused. For io_uring_register, the second argument is the operation. With Flag set, only calls
// whose third argument has one of its bits are refused. For openat, the third argument holds the
// flags.
type Refusal struct {
	Call     uintptr
	Argument bool
	Value    uint32
	Flag     uint32
}

// RefuseCalls installs a seccomp filter with which the kernel answers the given system calls with
// errno, on the calling OS thread or in the whole process. A filter stays until the thread or the
// process ends. A goroutine that is locked to its thread ends the thread with itself.
func RefuseCalls(errno unix.Errno, wholeProcess bool, refusals ...Refusal) error {
	flags := uintptr(0)
	if wholeProcess {
		flags = unix.SECCOMP_FILTER_FLAG_TSYNC
	}
	_, err := installFilter(unix.SECCOMP_RET_ERRNO|uint32(errno), flags, refusals)
	return err
}

// InterruptOnce makes the first call of each of the given system calls on the calling OS thread end
// with EINTR; later calls pass. counts ends the filter's work and returns the number of calls of
// each. It is called after the last of them.
func InterruptOnce(calls ...uintptr) (counts func() map[int32]int, err error) {
	refusals := make([]Refusal, 0, len(calls))
	for _, call := range calls {
		refusals = append(refusals, Refusal{Call: call})
	}
	listener, err := installFilter(unix.SECCOMP_RET_USER_NOTIF, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, refusals)
	if err != nil {
		return nil, err
	}
	var stop [2]int // a pipe
	if err := unix.Pipe2(stop[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	seen := make(chan map[int32]int, 1)
	go func() {
		defer unix.Close(int(listener))
		defer unix.Close(stop[0])
		counts := map[int32]int{}
		defer func() { seen <- counts }()
		for {
			var call notification
			ready := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}, {Fd: int32(stop[0])}}
			if _, err := unix.Poll(ready, -1); err == unix.EINTR {
				continue
			}
			if ready[0].Revents&unix.POLLIN == 0 {
				return // counts was called
			}
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, listener, unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&call))); errno != 0 {
				continue
			}
			answer := notificationAnswer{id: call.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
			if counts[call.number]++; counts[call.number] == 1 {
				answer = notificationAnswer{id: call.id, errno: -int32(unix.EINTR)}
			}
			_, _, _ = unix.Syscall(unix.SYS_IOCTL, listener, unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer)))
		}
	}()
	return func() map[int32]int {
		_ = unix.Close(stop[1])
		return <-seen
	}, nil
}

// HoldAt holds the count-th call of the whole process to one system call in the kernel and calls
// held, on a goroutine of its own. The call then ends with the errno that held returns, or goes on
// if that is 0. Calls before and after it pass.
func HoldAt(call Refusal, count int, held func() unix.Errno) error {
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
		unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) // else a signal to the thread would repeat the call
	listener, err := installFilter(unix.SECCOMP_RET_USER_NOTIF, flags, []Refusal{call})
	if err != nil {
		return err
	}
	go func() {
		for {
			var call notification
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, listener, unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&call))); errno != 0 {
				continue
			}
			answer := notificationAnswer{id: call.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
			if count--; count == 0 {
				if errno := held(); errno != 0 {
					answer = notificationAnswer{id: call.id, errno: -int32(errno)}
				}
			}
			_, _, _ = unix.Syscall(unix.SYS_IOCTL, listener, unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer)))
		}
	}()
	return nil
}

// notification and notificationAnswer are the kernel's seccomp_notif and seccomp_notif_resp.
type notification struct {
	id           uint64
	pid, flags   uint32
	number       int32
	architecture uint32
	instruction  uint64
	arguments    [6]uint64
}

type notificationAnswer struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// installFilter makes a filter that answers refusals with action and lets all other calls pass.
func installFilter(action uint32, flags uintptr, refusals []Refusal) (result uintptr, err error) {
	const numberAt, secondArgumentAt, thirdArgumentAt = 0, 24, 32 // in the kernel's seccomp_data; the low half, on a little-endian machine
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	unlessEqual := func(value uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: skip}
	}
	answer := func(value uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: value} }
	var program []unix.SockFilter
	for _, r := range refusals {
		program = append(program, load(numberAt))
		if r.Flag != 0 {
			unlessSet := unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: r.Flag, Jf: 1}
			program = append(program, unlessEqual(uint32(r.Call), 3), load(thirdArgumentAt), unlessSet, answer(action))
		} else if r.Argument {
			program = append(program, unlessEqual(uint32(r.Call), 3), load(secondArgumentAt), unlessEqual(r.Value, 1), answer(action))
		} else {
			program = append(program, unlessEqual(uint32(r.Call), 1), answer(action))
		}
	}
	program = append(program, answer(unix.SECCOMP_RET_ALLOW))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("give up new privileges: %w", err)
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	result, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return 0, fmt.Errorf("install a seccomp filter: %w", errno)
	}
	return result, nil
}
