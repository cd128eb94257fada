# What Puppet lets one say that is easily got wrong. Applied by puppet in one container and, compiled by puppet, by stead
# in another, where files, accounts, units and the state of each resource must be the same, at first, again and after
# tampering: test/container/test_puppet_compare.py. Titles are names, so that states can be told apart by them.
Exec { path => ['/usr/bin', '/bin', '/usr/sbin', '/sbin'] }
file { ['/n', '/n/log']: ensure => directory }

# --- failures, and what depends on them
exec { 'fails': command => 'false', notify => [Exec['of failed'], Service['stead-never']] }
service { 'stead-never': ensure => running }
exec { 'of failed': command => 'touch /n/of-failed', refreshonly => true }
file { '/n/behind': content => "never\n", require => Exec['fails'] }
file { '/n/behind2': content => "never\n", require => File['/n/behind'] }
class nasty::behind {
  file { '/n/behind3': content => "never\n" }
  nasty::thing { 'behind4': }
}
class { 'nasty::behind': require => Exec['fails'] }
class nasty::broken {
  file { '/n/in-broken': content => "before\n", before => Exec['fails in class'] }
  exec { 'fails in class': command => 'sh -c "exit 9"', returns => [0, 8] }
  file { '/n/beside': content => "beside\n" }
}
file { '/n/after-class': content => "never\n", require => Class['nasty::broken'] }
include nasty::broken
exec { 'guard fails': command => 'touch /n/guarded', onlyif => ['true', 'false'], notify => Exec['of guarded'] }
exec { 'of guarded': command => 'touch /n/of-guarded', refreshonly => true }
exec { 'times out': command => 'sleep 30', timeout => 1 }
exec { 'gives up': command => 'sh -c "echo try >>/tmp/tries; exit 1"', tries => 3, try_sleep => 0 }
file { '/n/behind-tries': content => "never\n", require => Exec['gives up'] }
file { '/n/invalid': content => "bad\n", validate_cmd => '/bin/grep -q good %' }
file { '/n/nowhere/deep/file': content => "no directory\n" }
file { '/n/missing-source': source => '/n/there/is/none' }

# --- refreshes through several levels
file { '/n/source': content => "one\n" }
exec { 'level 1': command => 'sh -c "echo 1 >>/n/log/levels"', refreshonly => true, subscribe => File['/n/source'] }
exec { 'level 2': command => 'sh -c "echo 2 >>/n/log/levels"', refreshonly => true, subscribe => Exec['level 1'] }
exec { 'level 3': command => 'sh -c "echo 3 >>/n/log/levels"', refreshonly => true }
Exec['level 2'] ~> Exec['level 3'] ~> Service['stead-once']
file { '/n/source2': content => "two\n", notify => [Exec['level 3'], Service['stead-once']] }
service { 'stead-once': ensure => running, enable => true } # counts its starts
exec { 'refresh guarded': command => 'touch /n/never', refreshonly => true, onlyif => 'false', subscribe => File['/n/source'] }
exec { 'another way': command => 'touch /n/never', refresh => 'sh -c "echo other >>/n/log/refresh"', refreshonly => true, subscribe => File['/n/source'] }
nasty::told { 'told': }
File['/n/source'] ~> Nasty::Told['told']
define nasty::told() {
  exec { "in ${title}": command => "sh -c 'echo ${title} >>/n/log/${title}'", refreshonly => true }
  nasty::deeper { "${title} deeper": }
}
define nasty::deeper() {
  exec { "in ${title}": command => "sh -c 'echo ${title} >>/n/log/deeper'", refreshonly => true }
}
class nasty::teller { file { '/n/teller': content => "t\n" } }
class nasty::hearer { exec { 'hears a class': command => 'sh -c "echo heard >>/n/log/heard"', refreshonly => true } }
class nasty::between { nasty::thing { 'between': } }
include nasty::teller, nasty::hearer, nasty::between
Class['nasty::teller'] ~> Class['nasty::between'] ~> Class['nasty::hearer']

# --- containers, anchors, aliases, tags, collectors
define nasty::thing() { file { "/n/${title}": content => "${title}\n", tag => ['things', $title] } }
class nasty::outer {
  contain nasty::inner
}
class nasty::inner { exec { 'inner': command => 'sh -c "test -e /n/before-outer && touch /n/inner"', creates => '/n/inner' } }
file { '/n/before-outer': content => "b\n", before => Class['nasty::outer'] }
exec { 'after outer': command => 'sh -c "test -e /n/inner && touch /n/outer"', creates => '/n/outer', require => Class['nasty::outer'] }
include nasty::outer
file { '/n/aliased': content => "a\n", alias => 'short' }
exec { 'by alias': command => 'cp /n/aliased /n/by-alias', creates => '/n/by-alias', require => File['short'] }
@nasty::thing { ['virtual', 'realized']: }
realize Nasty::Thing['realized']
@file { '/n/collected': content => "c\n", tag => 'collect' }
@file { '/n/left-virtual': content => "c\n", tag => 'leave' }
File <| tag == 'collect' |> { mode => '0600' }
Exec['inner'] -> File <| tag == 'things' |> -> exec { 'after things': command => 'touch /n/things', creates => '/n/things' }

# --- noop, loglevel, sensitive
file { '/n/noop': content => "never\n", noop => true, notify => Exec['of noop'] }
exec { 'of noop': command => 'touch /n/of-noop', refreshonly => true }
class nasty::dry { file { '/n/dry': content => "never\n" } nasty::thing { 'dry2': } }
class { 'nasty::dry': noop => true }
file { '/n/after-dry': content => "made\n", require => Class['nasty::dry'] }
exec { 'secret': command => Sensitive('sh -c "echo geheim >/n/secret"'), creates => '/n/secret', loglevel => debug }

# --- commands
exec { 'as told':
  command     => 'printf "%s %s %s\n" "$WORD" "$PWD" "$(id -un) $(id -gn) $(umask)" >out',
  provider    => shell,
  environment => ['WORD=a b=c', 'OTHER='],
  cwd         => '/n/work',
  user        => 'nobody',
  group       => 'nogroup',
  umask       => '0027',
  creates     => '/n/work/out',
}
file { '/n/work': ensure => directory, owner => 'nobody', group => 'nogroup', mode => 'u=rwx,g=rx,o=' }
exec { 'unless list': command => 'touch /n/unless', unless => ['false', 'test -e /n/unless'] }
exec { 'words': command => ['sh', '-c', 'echo "$0 $1" >/n/words', 'a b', 'c;d'], creates => '/n/words' }
exec { '/bin/sh -c "exit 4"': returns => 4, unless => 'test -e /n/unless2' }
exec { 'both creates': command => 'touch /n/c2', creates => ['/n/c1', '/n/c2'] }

# --- files
file { '/n/purged': ensure => directory, recurse => true, purge => true, force => true }
file { '/n/purged/kept': ensure => directory }
file { '/n/purged/kept/file': content => "kept\n" }
file { '/n/purged-files': ensure => directory, recurse => true, purge => true, ignore => ['*.keep', '.git'] }
file { '/n/dirlink': ensure => link, target => '/n/purged' }
file { '/n/relative': ensure => link, target => 'log/../source' }
file { '/n/was-link': ensure => file, content => "file now\n" }
file { '/n/was-file': ensure => link, target => '/n/source' }
file { '/n/was-directory': ensure => file, content => "file now\n", force => true }
file { '/n/sticky': ensure => directory, mode => '1777' }
file { '/n/plain-mode': ensure => directory, mode => '0640' }
file { '/n/added-mode': mode => 'ug=rwx,o=', content => "x\n" }
file { '/n/once': content => "once\n", replace => false }
file { '/n/backed': content => "new\n", backup => false }
file { '/n/from-host': source => '/usr/share/stead-seed/sub/b' }
file { '/n/from-host-link': ensure => present, source => 'file:///usr/share/stead-seed/a', links => manage }
file { '/n/tree': ensure => directory, source => '/usr/share/stead-seed', recurse => remote, mode => '0640' }
file { '/n/dangling': ensure => link, target => '/n/not/there' }
file { '/n/checksummed': source => '/usr/share/stead-seed/a', checksum => sha256 }
file { '/n/emptied': content => '' }
file { '/n/no-ensure-absent/': ensure => absent, force => true }

# --- packages, accounts, tables
package { 'stead-new': ensure => latest }
package { 'stead-held': ensure => installed, mark => hold }
package { 'stead-never-there': ensure => purged }
user { 'nina': ensure => present, uid => 2500, groups => ['audio', 'n-extra'], membership => inclusive, managehome => true, password_warn_days => 5, purge_ssh_keys => false }
group { 'n-extra': ensure => present, gid => 2501 }
user { 'no-such': ensure => absent }
host { 'n.example.com': ip => '192.0.2.50', host_aliases => ['n1', 'n2', 'n3'], comment => 'three' }
host { 'six.example.com': ip => '2001:db8::6' }
host { 'h.example.com': ip => '192.0.2.51', host_aliases => [] }
cron { 'n env': command => 'echo "100\%" | cat', user => 'nina', environment => ['PATH=/usr/bin', 'MAILTO=root'], minute => ['0', '30'], month => ['January', 6], weekday => 'Monday' }
cron { 'n reboot': command => '/bin/true', user => 'nina', special => 'reboot' }
cron { 'n left': command => '/bin/true', user => 'nina', ensure => absent }
ssh_authorized_key { 'n@key': user => 'nina', type => 'rsa', key => 'AAAAB3NzaC1yc2EAAAADAQABAAAAQQCyUm9vbSBmb3IgYSBrZXkgdGhhdCBpcyBub25l', options => ['command="/bin/echo a,b \"c\""'] }
