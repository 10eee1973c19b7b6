#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Redis stops, hangs, forgets: connected clients stay and publish, new ones
# are told that the server is unavailable, and all is well by itself when it is
# back.  What Redis knows of sessions: present or not, for how long.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 2 * 11 + 35;

###############################################################################

my $t = MqttTest->new;
my $redis = $t->redis;

my $conf = $t->conf(
    server => 'mqtt_max_session_expiry 1000s;',
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_forever%%;
        mqtt_pass test;
        mqtt_max_session_expiry 4294967295;
    }
END

$conf =~ s/redis %%REDIS%%/$& timeout=500ms connect_timeout=500ms/;

$t->write_file_expand('nginx.conf', $conf);
$t->run;

# what is kept, and for how long

my @lives = (
    # version, port, clean, expiry, session present, time to live
    [ 3, 'mqtt', 1, undef, 0, -2 ],
    [ 4, 'mqtt', 1, undef, 0, -2 ],
    [ 4, 'mqtt', 0, undef, 1, 1000 ],
    [ 5, 'mqtt', 0, undef, 0, -2 ],
    [ 5, 'mqtt', 1, 100, 1, 100 ],
    [ 5, 'mqtt', 0, 5000, 1, 1000 ],
    [ 5, 'forever', 0, 0xffffffff, 1, -1 ],
);

for my $row (@lives) {
    my ($version, $port, $clean, $expiry, $present, $ttl) = @$row;

    my @props = defined $expiry ? (props => [ [ session_expiry => $expiry ] ])
                                : ();
    my $id = join '-', 'life', @$row[0 .. 2], $expiry // 'none';

    my $c = $t->client(version => $version, port => $port, client_id => $id,
                       clean => $clean, @props);

    is(ttl($id), -1, "$id: no time to live while connected");
    $c->disconnect;

    my $left;

    ok(wait_for { $left = ttl($id);
                  $ttl < 0 ? $left == $ttl
                           : $left <= $ttl && $left > $ttl - 60 },
       "$id: time to live $ttl") or diag("it is $left");

    $c = $t->client(version => $version, port => $port, client_id => $id,
                    clean => 0, @props);
    is($c->connack->{session_present}, $present,
       "$id: session present $present");
    is(ttl($id), -1, "$id: no time to live once more");
    $c->disconnect;
}

my $c = $t->client(client_id => 'short', clean => 0,
                   props => [ [ session_expiry => 1 ] ]);
$c->disconnect;

ok(wait_for { ttl('short') == -2 }, 'a session of one second expires');

# the scripts are forgotten

$redis->command('SCRIPT', 'FLUSH');

$c = $t->client(client_id => 'flushed', clean => 0,
                props => [ [ session_expiry => 100 ] ]);
ok($c->is_alive, 'SCRIPT FLUSH does not matter to a claim');

$redis->command('SCRIPT', 'FLUSH');
$c->disconnect;
ok(wait_for { ttl('flushed') > 0 }, 'nor to a release');

# Redis refuses

$redis->command('SET', key('broken'), 'no hash');

$c = $t->socket;
is($c->connect(client_id => 'broken')->{reason}, 0x88,
   'a session that is none: unavailable');
$c->expect_close;

# Redis is stopped, then hangs

for my $how ('stopped', 'hung') {
    my @stay = map { $t->client(version => $_, client_id => "$how-stay-$_",
                                keep_alive => 0) } 4, 5;

    my $kept = $t->client(version => 4, client_id => "$how-kept", clean => 0);
    $kept->disconnect;

    my $leaves = $t->client(version => 4, client_id => "$how-leaves",
                            clean => 0);

    ok(wait_for { ttl("$how-kept") > 0 }, "$how: a session before");

    $how eq 'stopped' ? $redis->stop : $redis->pause;

    for my $version (3, 4, 5) {
        my $new = $t->socket(version => $version);
        my $connack = $new->connect(client_id => "$how-new");

        is($connack && $connack->{reason}, $version == 5 ? 0x88 : 3,
           "$how: CONNECT of version $version is refused");
    }

    is(scalar(grep { my $p = $_->publish_wait('a/b', 'x', qos => 1);
                     $p && $p->{reason} < 0x80 } @stay), 2,
       "$how: connected clients publish");

    is($t->total('redis_up'), 0, "$how: the status tells of it");

    $leaves->disconnect;

    $how eq 'stopped' ? $redis->start : $redis->resume;

    my $connack;

    my $back = wait_for {
        my $new = $t->socket(version => 4);

        $connack = $new->connect(client_id => "$how-kept", clean => 0);
        $connack && !$connack->{reason};
    } 20;

    ok($back, "$how: CONNECTs are accepted again");

    # the data of a Redis that was stopped are gone

    is($connack->{session_present}, $how eq 'hung' ? 1 : 0,
       "$how: the session is what Redis knows of it");

    is(scalar(grep { $_->is_alive } @stay), 2,
       "$how: connected clients have stayed");

    # the end of a session was not lost, or there is none

    ok(wait_for { my $left = ttl("$how-leaves");
                  $how eq 'hung' ? $left > 0 : $left == -2 },
       "$how: who left meanwhile has left")
        or diag(ttl("$how-leaves"));

    # Redis may have forgotten who the owner is

    my $again = $t->client(version => 5, client_id => "$how-stay-5");
    $stay[1]->expect_disconnect(0x8e, "$how: takeover");

    $_->disconnect for $stay[0], $again;
}

like($t->error_log, qr/\[error\].*[Rr]edis/, 'the log tells of it');

my @errors = $t->error_log =~ /\[(?:error|crit)\].*[Rr]edis/g;
cmp_ok(scalar @errors, '<', 20, 'not too often') or diag(scalar @errors);

###############################################################################

sub key {
    my ($id) = @_;

    return "test:{c:$id}";
}


sub ttl {
    my ($id) = @_;

    return $redis->command('TTL', key($id));
}

###############################################################################
