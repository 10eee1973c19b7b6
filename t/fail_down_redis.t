#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Redis is down while records need it: their partitions wait, nothing of them
# is committed, others go on, and it goes on by itself when Redis is back.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More;

use constant { RETAINED => 300 };

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;
my $redis = $t->redis;

my $retained = $kafka->topic('retained');
my $p2p = $kafka->topic('p2p');
my $plain = $kafka->topic('plain');

$t->write_conf(kafka => 1, workers => 2, gateway => <<"END");
    topic retained kafka=$retained downlink;
    topic one kafka=$p2p downlink;
    topic plain kafka=$plain downlink;
    kafka_inflight 16m messages=100;
    kafka_set auto.commit.interval.ms 10;
END

$t->run;

ok($t->wait_total(kafka_partitions => 3, 20), 'assigned');

my @c = map { $t->client(client_id => "c$_") } 1 .. 8;

$_->subscribe('plain/#' => 1, 'retained/#' => 1) for @c;

$kafka->write($plain, { payload => 'before' });
is($_->recv_message->{payload}, 'before', 'before') for @c;

$redis->pause;
ok($t->wait_total(redis_up => 0, 20), 'Redis does not answer');

$kafka->write($retained, map { { payload => $_, headers => [
    [ mqttRetain => 'true' ], [ mqttSecondTopic => "/$_" ] ] } }
    1 .. RETAINED);

ok((wait_for { $t->total('kafka_inflight') == 100 } 20), 'up to the bound');
ok($t->wait_total(kafka_pauses => 1, 10), 'then consuming is paused');

# what needs no Redis, in another partition, of the other worker or the same

$kafka->write($plain, { payload => 'during' });
$kafka->write($p2p, map { { payload => 'p2p',
                            headers => [ [ mqttSecondTopic => "/p2p/c$_" ] ] }
                        } 1 .. 8);

ok(!(wait_for { ($kafka->committed($t->dir, $retained))[0] != -1 } 1),
   'nothing of it is committed');

$redis->resume;

for my $c (@c) {
    my (%got, $during, $one, @order);

    while (keys %got < RETAINED || !$during || !$one) {
        my $m = $c->recv_message(20) or last;

        if ($m->{topic} =~ /^retained/) {
            push @order, $m->{payload};
            $got{$m->{payload}}++;
        }

        $during = 1 if $m->{topic} eq 'plain';
        $one = 1 if $m->{payload} eq 'p2p';
    }

    is_deeply(\@order, [ 1 .. RETAINED ], 'all retained ones, once, in order');
    ok($during && $one, 'and what came meanwhile');
}

ok($t->wait_total(kafka_inflight => 0, 20), 'all are done');
is($t->total('retained_stored'), RETAINED, 'all are stored');

ok((wait_for { join(' ', $kafka->committed($t->dir, $retained)) eq RETAINED }
    10), 'and committed');

done_testing();

###############################################################################
