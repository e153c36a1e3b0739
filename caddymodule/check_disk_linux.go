package caddymodule

import "syscall"

// statFileSystem asks the kernel, by the numbers of statfs(2).
func statFileSystem(dir string) (diskKind, string) {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return diskUnknown, ""
	}
	// The numbers are 32 bits wide, the field's type depends on the machine.
	switch uint32(s.Type) {
	case 0x01021994:
		return diskMemory, "tmpfs"
	case 0x858458f6:
		return diskMemory, "ramfs"
	case 0x6969:
		return diskNetwork, "nfs"
	case 0xff534d42, 0xfe534d42, 0x517b:
		return diskNetwork, "smb"
	case 0x00c36400:
		return diskNetwork, "ceph"
	case 0x794c7630:
		return diskContainer, "overlay"
	}
	return diskUnknown, ""
}
