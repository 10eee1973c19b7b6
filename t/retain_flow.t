#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Retained messages against the limits of who takes them and of Redis: the
# client's Receive Maximum and its socket, a live message that comes before an
# older retained one, UNSUBSCRIBE in between, too many writes for Redis.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 28;

###############################################################################

my $t = MqttTest->new;

my $conf = $t->conf(stream => <<'END');
    mqtt_max_queued 5;
    mqtt_output_buffer 64k;

    server {
        listen 127.0.0.1:%%PORT_small%% sndbuf=32k;
        mqtt_pass test;
    }
END

$t->write_file_expand('nginx.conf',
                      $conf =~ s/redis %%REDIS%%/$& queue=20/r);
$t->run;

my $c = $t->client(version => 4);
my $large = 'x' x 3000;

$c->publish_wait("m/$_", "$_ $large", qos => 1, retain => 1) for 1 .. 150;

# Receive Maximum: three, and one more for each acknowledgement, in spite of
# mqtt_max_queued

my $s = $t->socket(version => 5, auto_ack => 0);

$s->connect(props => [ [ receive_maximum => 3 ] ]);
$s->send(SUBSCRIBE => packet_id => 1, filters => [ [ 'm/+' => 1 ] ]);
$s->expect('SUBACK', codes => [ 1 ], -name => 'SUBACK comes first');

my @held = map { $s->recv } 1 .. 3;
$s->expect_nothing(0.3, 'no more than Receive Maximum');

$s->send(PUBACK => packet_id => $held[1]{packet_id});
my $p = $s->expect('PUBLISH', -name => 'one more for a PUBACK');
$s->expect_nothing(0.2, 'and only one');

my %seen = map { $_->{topic} => 1 } @held, $p;

for my $m ($held[0], $held[2], $p) {
    $s->send(PUBACK => packet_id => $m->{packet_id});
}

while (keys %seen < 150) {
    my $m = $s->recv or last;

    $seen{$m->{topic}}++;
    $s->send(PUBACK => packet_id => $m->{packet_id});
}

is(keys %seen, 150, 'all of them in the end');
is((grep { $_ != 1 } values %seen), 0, 'once each');
$s->disconnect;

# QoS 0 to who does not read: far more than mqtt_output_buffer, nothing is
# dropped, and the memory of the worker does not grow with it

my $slow = $t->client(version => 4, port => 'small', receive_buffer => 32768);

my $before = $t->total('retained_sent');

$slow->send(SUBSCRIBE => packet_id => 1, filters => [ [ 'm/+' => 0 ] ]);

my ($sent, $same) = (0, 0);

wait_for {
    my $n = $t->total('retained_sent') - $before;

    $same = $n == $sent ? $same + 1 : 0;
    $sent = $n;

    $n && $same == 5;
} 10;

cmp_ok($sent, '<', 150, 'not all are sent to who does not read');
cmp_ok($t->total('alloc_bytes'), '<', 400_000, 'the rest is not in memory');

my %count;

while (keys %count < 150) {
    my $m = $slow->recv_message or last;
    $count{$m->{topic}}++ if $m->{payload} =~ /^\d+ x{3000}$/;
}

is(keys %count, 150, 'all messages');
is($t->total('messages_out_dropped'), 0, 'none was dropped');
is($t->total('slow_clients'), 0, 'nobody was too slow');
$slow->disconnect;

# A live message comes before the look-up that was older: the client is not
# left with the old one.  Others are not affected.

$s = $t->client(version => 4);
$c->publish_wait("race/$_", 'old', qos => 1, retain => 1) for 1, 2;

$t->redis->pause;
$s->subscribe('race/+' => 1);
$c->publish('race/1', 'new', qos => 1, retain => 1);
$c->is_alive;
$s->expect('PUBLISH', topic => 'race/1', payload => 'new', retain => 0);
$t->redis->resume;

is_deeply([ map { "$_->{topic} $_->{payload} $_->{retain}" }
            grep { $_ } $s->recv_message, $s->recv_message(0.3) ],
          [ 'race/2 old 1' ], 'the older one is left out');

# Not for a SUBSCRIBE that came behind the live message, though the look-up of
# an earlier one had not ended.

my @again = ([ 'again/+' => 0 ], [ 'another/one' => 0 ]);

$t->redis->pause;
$s->send(SUBSCRIBE => packet_id => 2, filters => \@again);
$s->expect('SUBACK', packet_id => 2);
$c->publish('again/1', 'new', qos => 1, retain => 1);
$s->expect('PUBLISH', topic => 'again/1', payload => 'new', retain => 0);
$s->send(SUBSCRIBE => packet_id => 3, filters => \@again);
$s->expect('SUBACK', packet_id => 3);
$t->redis->resume;
$s->expect('PUBLISH', topic => 'again/1', payload => 'new', retain => 1);
$c->recv;

# UNSUBSCRIBE ends a look-up

$t->redis->pause;
$s->send(SUBSCRIBE => packet_id => 5, filters => [ [ 'm/#' => 0 ] ]);
$s->expect('SUBACK', packet_id => 5);
$s->unsubscribe('m/#');
$t->redis->resume;
$s->expect_nothing(0.3, 'nothing after UNSUBSCRIBE');

# so does the end of the client

$t->redis->pause;
$s->send(SUBSCRIBE => packet_id => 6, filters => [ [ 'm/#' => 0 ] ]);
$s->expect('SUBACK', packet_id => 6);
$s->close;
ok(wait_for { $t->total('clients') == 1 }, 'a client leaves meanwhile');
$t->redis->resume;

ok($c->recv && $c->is_alive, 'and nothing else happens');

# "queue" of redis: publishers wait when so much waits for Redis, and so does
# a SUBSCRIBE; QoS 0 is dropped and counted; others are served

$s = $t->client(version => 4);
my $other = $t->client(version => 4);

$t->redis->pause;

$c->publish('full/1', "n $_", qos => 1, retain => 1) for 1 .. 100;
ok(wait_for { $t->total('clients_paused') == 1 }, 'the publisher is paused');

$other->publish('full/2', 'x', retain => 1) for 1 .. 3;
$other->publish_wait('full/2', 'x', qos => 1);
is($t->total('messages_dropped'), 3, 'QoS 0 is dropped and counted');

$s->send(SUBSCRIBE => packet_id => 7, filters => [ [ 'full/1' => 0 ] ]);
$s->expect_nothing(0.3, 'SUBSCRIBE waits');

$t->redis->resume;

my $acks = 0;
$acks++ while $acks < 100 && $c->recv;

is($acks, 100, 'all are acknowledged when Redis is back');
$s->expect('SUBACK', packet_id => 7);

my $last = '';

while ($last !~ /n 100/) {
    my $m = $s->recv_message or last;
    $last = $m->{payload};
}

is($last, 'n 100', 'and the last one is the last');

###############################################################################
