# What stead cannot keep as Puppet means it: each line is told with its place, all at once, and nothing is touched.
gadget { 'unknown': ensure => present }
gadgt::thing { 'defined': }
define gadgt::thing() { gadget { "in ${title}": ensure => present } }
file { '/r/deferred': content => Deferred('sprintf', ['%s', 'late']) }
file { '/r/binary': content => Binary('AP8Q/w==') }
file { '/r/timestamp': content => String(Timestamp('2026-01-01')) }
file { '/r/regexp': content => /a.b/ }
file { '/r/version': content => SemVer('1.2.3') }
file { '/r/limited': ensure => directory, recurse => true, recurselimit => 2 }
file { '/r/relative': ensure => file, mode => 'g+w,o-r' }
file { '/r/partial': ensure => file, mode => 'u=rw' }
file { '/r/sums': ensure => file, checksum => mtime, source => '/etc/hostname' }
file { '/r/http': source => 'https://example.com/x' }
file { '/r/follow': ensure => file, links => follow }
file { '/r/bare': owner => 'root' }
file { '/r/server': source => 'puppet:///modules/shop/not-there' }
exec { '/bin/true': refresh => '/bin/false' }
package { 'rake': ensure => installed, provider => 'gem' }
package { 'ranged': ensure => '>= 1.0 < 2.0' }
service { 'own': ensure => running, start => '/etc/own start', hasstatus => false }
service { 'delayed': enable => manual }
user { 'keys': ensure => present, purge_ssh_keys => true }
resources { 'host': purge => true }
tidy { '/r/tidy': age => '1w' }
cron { 'other': command => '/bin/true', user => 'root', target => 'nobody' }
mount { '/r/mount': ensure => mounted, device => 'x', fstype => 'tmpfs', target => '/etc/other' }
notify { 'late': schedule => 'night' }
schedule { 'night': period => daily, range => '1-3' }
