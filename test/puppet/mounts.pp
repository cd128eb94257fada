# The type mount in all its states. Facter's `variant` picks the second set of values, to which what stands by the first
# is changed: test/container/test_puppet_compare.py.
$first = $facts['variant'] != 'second'
$twice = $first ? { true => 'size=1m', default => 'size=2m' }
Mount { fstype => 'tmpfs', options => 'size=1m' }

$points = ['cache', 'kept', 'line', 'bound', 'moved', 'told', 'swapped']
file { $points.map |$name| { "/srv/m/${name}" }: ensure => directory }
mount { '/srv/m/cache':
  ensure  => mounted,
  device  => 'tmpfs',
  options => $first ? { true => 'size=8m,mode=0755,nodev', default => 'size=16m,mode=0755,nodev,noexec' },
  require => File['/srv/m/cache'],
}
mount { '/srv/m/kept': ensure => mounted, device => 'kept', options => $twice, remounts => false }
# A mount point and a file on the mounts above them.
file { '/srv/m/cache/in': ensure => directory }
mount { '/srv/m/cache/in': ensure => mounted, device => 'inner', dump => 0, pass => 0, require => File['/srv/m/cache/in'] }
file { '/srv/m/cache/in/file': content => "inner\n" }
# With remounts, puppet fails: mount -o remount makes the whole file system below it read-only.
mount { '/srv/m/bound': ensure => mounted, device => '/usr/share/stead-seed', fstype => 'none', options => 'bind,ro', remounts => false }
mount { '/srv/m/line':
  ensure  => present,
  device  => '/dev/disk/by-label/line',
  fstype  => 'ext4',
  options => $first ? { true => 'defaults', default => 'noatime,noauto' },
  dump    => $first ? { true => 0, default => 1 },
  pass    => $first ? { true => 2, default => 0 },
}
mount { '/srv/m/with space/': ensure => defined, device => 'sp ace', options => 'noauto' }
mount { '/srv/m/bare': ensure => unmounted, device => 'bare' }
mount { '/srv/m/off': ensure => $first ? { true => unmounted, default => mounted }, device => 'off' }
mount { '/srv/m/ghost': ensure => mounted, device => 'ghost' } # mounted before, without a line
mount { '/srv/m/swapped': ensure => $first ? { true => mounted, default => absent }, device => 'swapped' }
mount { ['/srv/m/gone', '/srv/m/ghostgone', '/srv/m/never']: ensure => absent }
file { '/srv/m/trigger': content => "${twice}\n", notify => Mount['/srv/m/told'] }
mount { '/srv/m/told': ensure => mounted, device => 'told' }
mount { 'moved': name => '/srv/m/moved', ensure => mounted, device => 'moved', atboot => true }
mount { '/srv/m/boot': ensure => defined, device => 'boot', atboot => false }
mount { '/srv/m/quiet': device => 'quiet', options => "noauto,${twice}" } # of a line that is there
