#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Keep-alive: a client that is silent for one and a half times its interval is
# disconnected, with 0x8d in 5.0; whole packets of any kind keep it, parts of
# packets do not; 0 means never.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Packet qw/ gen prop /;
use Test::More tests => 16;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_capped%%;
        mqtt_pass test;
        mqtt_max_keepalive 1s;
    }
END

$t->run;

# all clients at once: the silent ones end, the others have to live on

my %silent = map { $_ => $t->client(version => $_, keep_alive => 1) } 3, 4, 5;

$silent{capped} = $t->client(port => 'capped', keep_alive => 60);
$silent{'capped 0'} = $t->client(port => 'capped', keep_alive => 0);
$silent{'capped, 3.1.1'} = $t->client(port => 'capped', version => 4);

is(prop($silent{capped}->connack, 'server_keep_alive'), 1,
   'Server Keep Alive is told');

my %kept = map { $_ => $t->client(keep_alive => 2) }
           qw/ PINGREQ PUBLISH PUBREL /;

my $drip = $t->client(keep_alive => 2);
my $long = $t->client(keep_alive => 65535);
my $never = $t->client(keep_alive => 0);

my @all = (values %silent, values %kept, $drip);
my @drops = split //, gen(PUBLISH => 5, topic => 'a', payload => 'x' x 2000);
my $next = now();
my $beats = 0;

my $ended = MqttTest::Client->pump(\@all, timeout => 30, until => sub {
    if (now() >= $next) {
        $next += 0.25;
        $beats++;

        $kept{PINGREQ}->queue('PINGREQ');
        $kept{PUBLISH}->queue(PUBLISH => topic => 'a', payload => 'x');
        $kept{PUBREL}->queue(PUBREL => packet_id => 1);
        $drip->queue_raw(shift @drops);
    }

    return !grep { !$_->{eof} } values %silent, $drip;
});

ok($ended, 'silent clients are disconnected');
cmp_ok($beats, '>=', 4, 'not at once');

for my $name (sort keys %silent) {
    $silent{$name}->expect_disconnect(0x8d, "silent: $name");
}

$drip->expect_disconnect(0x8d, 'parts of a packet are no packet');

for my $type (sort keys %kept) {
    ok(!$kept{$type}{eof} && $kept{$type}->is_alive, "$type keeps the client");
}

ok($long->is_alive, 'keep-alive 65535');
ok($never->is_alive, 'keep-alive 0');

is($t->total('keepalive_timeouts'), 7, 'the timeouts are counted');

###############################################################################
