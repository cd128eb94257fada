# Every type that stead maps, in the ways Puppet lets one say things. Applied by puppet in one container and, compiled
# by puppet, by stead in another: test/container/test_puppet_compare.py.
File { owner => 'root', group => 'root', mode => '0644' }
Exec { path => ['/usr/bin', '/bin', '/usr/sbin', '/sbin'] }

define shop::site(Integer $port = 80, Optional[Sensitive[String]] $key = undef) {
  file { "/etc/shop/sites/${title}.conf":
    content => "listen ${port}\nname ${title}\n",
    notify  => Service['stead-shop'],
  }
  if $key {
    file { "/etc/shop/sites/${title}.key": content => $key, mode => '0600', show_diff => false }
  }
}

class shop::base {
  package { ['stead-shop', 'stead-tool']: ensure => installed }
  package { 'pinned': name => 'stead-pinned', ensure => '1.0' }
  package { 'stead-new': ensure => latest }
  package { 'stead-gone': ensure => absent }
  package { 'stead-purged': ensure => purged }
  package { 'stead-held': ensure => installed, mark => 'hold' }

  group { 'shop': ensure => present, gid => 2100 }
  group { 'deploy': ensure => present, gid => 2101 }
  group { 'sysgroup': ensure => present, system => true }
  group { 'oldgroup': ensure => absent }
  user { 'shop':
    ensure     => present,
    uid        => 2100,
    gid        => 'shop',
    home       => '/srv/shop',
    shell      => '/usr/sbin/nologin',
    managehome => true,
    comment    => 'The shop',
    password   => Sensitive('$6$saltsalt$notahash'),
  }
  user { 'ada':
    ensure           => present,
    uid              => 2200,
    gid              => 2101,
    groups           => ['shop', 'adm'],
    shell            => '/bin/bash',
    managehome       => true,
    password_max_age => 90,
    password_min_age => 1,
    expiry           => '2040-01-02',
  }
  user { 'daemon2': ensure => present, require => Group['sysgroup'], system => true, shell => '/usr/sbin/nologin', home => '/nonexistent' }
  user { 'olduser': ensure => absent, managehome => true }
  user { 'changed': ensure => present, shell => '/bin/sh', comment => 'changed', groups => ['deploy'], membership => inclusive }
  file { ['/etc/shop', '/etc/shop/sites']: ensure => directory, mode => '0755' }
}

class shop::files {
  file { '/etc/shop/plain': content => "plain\n" }
  file { '/etc/shop/umlauts': content => "gr\u00fc\u00dfe\r\n  \$HOME" }
  file { '/etc/shop/binary': content => Binary('AP8Q/w==') }
  file { '/etc/shop/empty': ensure => file, owner => 'shop', group => 'deploy', mode => '0640' }
  file { '/etc/shop/symbolic': ensure => file, content => 'x', mode => 'u=rw,g=r,o=' }
  file { '/etc/shop/suid': ensure => file, content => "#!/bin/sh\n", mode => '4755' }
  file { '/etc/shop/link': ensure => link, target => 'plain' }
  file { '/etc/shop/link2': ensure => '/etc/shop/plain' }
  file { '/etc/shop/once': content => "made once\n", replace => false }
  file { '/etc/shop/kept': content => "not what is there\n", replace => false }
  file { '/etc/shop/copy': source => '/usr/share/stead-seed/a' }
  file { '/etc/shop/module': source => 'puppet:///modules/shop/module.conf' }
  file { '/etc/shop/first': source => ['puppet:///modules/shop/none', 'puppet:///modules/shop/module.conf'] }
  file { '/etc/shop/tree': ensure => directory, source => '/usr/share/stead-seed', recurse => true, purge => true, force => true }
  file { '/etc/shop/moduletree': ensure => directory, source => 'puppet:///modules/shop/tree', recurse => remote }
  file { '/etc/shop/purged': ensure => directory, recurse => true, purge => true, force => true, mode => '0755' }
  file { '/etc/shop/purged/mine': content => "mine\n" }
  file { '/etc/shop/wasfile': ensure => directory, mode => '0750' }
  file { '/etc/shop/goes': ensure => absent }
  file { '/etc/shop/goestoo': ensure => absent, recurse => true, force => true }
  file { '/etc/shop/checked': content => "good\n", validate_cmd => '/bin/grep -q good %' }
  file { '/etc/shop/noop': content => "never\n", noop => true }
  file { '/etc/shop/deep/er': content => "deep\n" }
  file { '/etc/shop/deep': ensure => directory, mode => '0700' }
}

class shop::service {
  service { 'stead-shop': ensure => running, enable => true }
  service { 'stead-tool': ensure => stopped, enable => false }
  service { 'stead-held': enable => mask }
  service { 'cron': ensure => running, enable => true }
}

class shop::jobs {
  cron { 'plain': command => '/bin/true plain', user => 'root', minute => 5 }
  cron { 'often': command => '/bin/true often', user => 'ada', minute => '*/10', hour => [8, 18], weekday => ['1-5'] }
  cron { 'named': command => '/bin/true named', user => 'ada', special => 'daily' }
  cron { 'with': command => '/bin/true with', user => 'shop', minute => 0, hour => 3, environment => ['MAILTO=""', 'A=b c'] }
  cron { 'left': ensure => absent, user => 'root' }

  host { 'db.example.com': ensure => present, ip => '192.0.2.10', host_aliases => ['db', 'database'], comment => 'primary' }
  host { 'old.example.com': ensure => absent }
  host { 'moved.example.com': ip => '192.0.2.12' }

  ssh_authorized_key { 'ada@laptop':
    ensure  => present,
    user    => 'ada',
    type    => 'ssh-ed25519',
    key     => 'AAAAC3NzaC1lZDI1NTE5AAAAIKp6g7pQyYnJkEoFrVn0BhLZSuP0MGl3xMXhXzFRCqSP',
    options => ['no-pty', 'from="10.0.0.0/8"'],
  }
  ssh_authorized_key { 'left@laptop': ensure => absent, user => 'ada' }
}

class shop::trees {
  augeas { 'ssh': context => '/files/etc/ssh/sshd_config', changes => ['set PermitRootLogin no', 'rm AllowUsers'] }
  augeas { 'sysctl':
    incl    => '/etc/sysctl.d/shop.conf',
    lens    => 'Sysctl.lns',
    changes => "set net.ipv4.ip_forward 1\nset vm.swappiness '10'",
  }
  augeas { 'guarded':
    context => '/files/etc/hosts',
    changes => ['ins 01 after 1', 'set 01/ipaddr 192.0.2.20', 'set 01/canonical tree.example.com'],
    onlyif  => 'match *[canonical="tree.example.com"] size == 0',
  }
  augeas { 'not': context => '/files/etc/ssh/sshd_config', changes => 'set Port 1', onlyif => 'get Port != 2222' }
  augeas { 'ini': context => '/files/etc/shop.ini/main', lens => 'Puppet.lns', incl => '/etc/shop.ini', changes => ['set size 5', 'set other "a b"'] }
}

class shop::commands {
  exec { 'echo one >>/var/lib/commands': provider => shell, creates => '/var/lib/commands' }
  exec { 'guarded': command => 'sh -c "echo guarded >>/var/lib/guarded"', unless => 'test -e /var/lib/guarded' }
  exec { 'only': command => 'touch /var/lib/only', onlyif => ['test -d /var/lib', 'test ! -e /var/lib/only'] }
  exec { 'never': command => 'touch /var/lib/never', onlyif => 'false' }
  exec { 'told': command => 'echo told >>/var/lib/told', provider => shell, refreshonly => true, subscribe => File['/etc/shop/plain'] }
  exec { 'env':
    command     => 'echo "$WORD $PWD $(id -un)" >/var/lib/env/out',
    provider    => shell,
    environment => 'WORD=hello',
    cwd         => '/var/lib/env',
    user        => 'ada',
    umask       => '027',
    creates     => '/var/lib/env/out',
    require     => [File['/var/lib/env'], User['ada']],
  }
  file { '/var/lib/env': ensure => directory, owner => 'ada', mode => '0755' }
  exec { 'codes': command => 'sh -c "touch /var/lib/codes; exit 3"', returns => [0, 3], creates => '/var/lib/codes' }
  exec { 'nothing': command => 'touch /var/lib/nothing', noop => true }
  exec { 'retried':
    command  => 'echo x >>/var/lib/retried; grep -c x /var/lib/retried | grep -qx 2 && touch /var/lib/retried.done',
    provider => shell,
    tries    => 3,
    unless   => 'test -e /var/lib/retried.done',
  }
}

class shop::mounts {
  file { '/srv/cache': ensure => directory }
  file { '/srv/cache/seed': ensure => directory }
  mount { '/srv/cache': ensure => mounted, device => 'cache', fstype => 'tmpfs', options => 'size=4m,mode=0755' }
  mount { '/srv/cache/seed': ensure => mounted, device => '/usr/share/stead-seed', fstype => 'none', options => 'bind' }
  mount { '/srv/backup': ensure => present, device => 'LABEL=backup', fstype => 'ext4', options => 'noauto', pass => 2 }
  mount { '/srv/m/off': ensure => unmounted, device => 'off', fstype => 'tmpfs' }
  mount { '/srv/m/gone': ensure => absent }
  File['/srv/cache'] -> Mount['/srv/cache']
  File['/srv/cache/seed'] -> Mount['/srv/cache/seed']
}

class shop {
  contain shop::base
  contain shop::mounts
  contain shop::files
  contain shop::service
  contain shop::jobs
  contain shop::commands
  contain shop::trees
  shop::site { 'main': port => 81, key => Sensitive('geheim') }
  shop::site { 'blog': }
  Class['shop::base'] -> Shop::Site['main', 'blog'] -> Class['shop::service']
  Class['shop::base'] -> Class['shop::files'] ~> Class['shop::service']
  Class['shop::base'] -> Class['shop::jobs']
  Class['shop::base'] -> Class['shop::commands']
  Class['shop::jobs'] -> Class['shop::trees']
}

stage { 'first': before => Stage['main'] }
class early { file { '/etc/early': content => "early\n", tag => 'soon' } }
class { 'early': stage => 'first' }
include shop

@file { '/etc/virtual': content => "virtual\n" }
@file { '/etc/realized': content => "realized\n", tag => 'wanted' }
File <| tag == 'wanted' |> { mode => '0600' }
notify { 'the shop stands': require => Class['shop'] }
