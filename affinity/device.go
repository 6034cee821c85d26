package affinity

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// NodeUnknown stands for no particular NUMA node.
const NodeUnknown = -1

// NodeOfFile returns the NUMA node nearest to the disk that holds path (a file, or the directory
// where it will be), or NodeUnknown, as in virtual machines and on one-node machines.
func NodeOfFile(root, path string) int {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return NodeUnknown
	}
	device := stat.Dev
	if stat.Mode&unix.S_IFMT == unix.S_IFBLK {
		device = stat.Rdev
	}
	return NodeOfBlockDevice(root, unix.Major(device), unix.Minor(device))
}

// NodeOfBlockDevice returns the NUMA node nearest to a block device, or NodeUnknown.
func NodeOfBlockDevice(root string, major, minor uint32) int {
	return nodeOfDevice(root, filepath.Join(root, fmt.Sprintf("dev/block/%d:%d", major, minor)))
}

// NodeOfInterface returns the NUMA node nearest to a network interface, or NodeUnknown.
func NodeOfInterface(root, name string) int {
	return nodeOfDevice(root, filepath.Join(root, "class/net", filepath.Base(name)))
}

// nodeOfDevice follows link to the device and goes up to its parents: from a partition to its disk,
// from there to the controller, which knows its node.
func nodeOfDevice(root, link string) int {
	top, err := filepath.EvalSymlinks(root)
	if err != nil {
		return NodeUnknown
	}
	path, err := filepath.EvalSymlinks(link)
	if err != nil {
		return NodeUnknown
	}
	for ; strings.HasPrefix(path, top+"/"); path = filepath.Dir(path) {
		content, err := os.ReadFile(filepath.Join(path, "numa_node"))
		if err != nil {
			continue
		}
		if node, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil && node >= 0 && node < NodesMax {
			return node
		}
	}
	return NodeUnknown
}
