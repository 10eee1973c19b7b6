#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Wills to a topic that is mapped to Kafka: records like those of a publish.
# They wait while Kafka or Redis is at its bound, and are not lost when the
# worker that was to publish them is killed meanwhile.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers qw/ client_on /;
use Test::More tests => 27;

use constant { WILLS => 60, SIZE => 4000 };

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;
my $topic = $kafka->topic('wills');
my $small = $kafka->topic('small', config => { 'max.message.bytes' => 1000 });

$t->write_conf(kafka => 1, workers => 2, gateway => <<"END",
    kafka_queue 128k;
    lease_timeout 1s;
    topic wills kafka=$topic uplink;
    topic small kafka=$small uplink;
END
    servers => <<'END');
    server {
        listen 127.0.0.1:%%PORT_spread%% reuseport;
        mqtt_pass test;
    }
END

$t->run;

my ($first, $second) = $t->worker_pids;

# a record like any other

my $c = on($first, client_id => 'device', clean => 0,
           props => [ [ session_expiry => 10 ] ],
           will => { topic => 'wills/a/b', payload => "bye\0", qos => 1,
                     props => [ [ content_type => 'text/x' ],
                                [ user_property => 'k', 'v' ] ] });
$c->close;

my ($r) = $kafka->records($topic, count => 1);
my %headers = map { $_->[0] => $_->[1] } @{ $r->{headers} };

is($r->{key}, 'device', 'the key is the client id');
is($r->{payload}, "bye\0", 'the payload');
is_deeply({ %headers, mqttGateway => undef },
          { qoslevel => 1, cleansessionflag => 'false',
            mqttSecondTopic => '/a/b', clientId => 'device',
            mqtt5ContentType => 'text/x', k => 'v', mqttGateway => undef },
          'the headers');

# refused for good: not tried for ever

$c = on($first, client_id => 'large',
        will => { topic => 'small/x', payload => 'x' x 2000, qos => 1 });
$c->close;
ok(wait_for { $t->total('messages_refused') == 1 }, 'one that Kafka refuses');
ok(wait_for { !$t->redis->keys('*{c:large}') }, 'is done with');

# Kafka stands still: more wills than it may have records

my @many = map { device("wait-$_", $first) } 1 .. WILLS;

$kafka->pause;
$_->close for @many;

ok(wait_for { $t->total('wills_waiting') > 0 }, 'Kafka hangs: wills wait');
ok(wait_for { $t->total('clients') == 0 }, 'their clients have gone');

my $quiet = on($first, client_id => 'quiet');
$quiet->expect_alive('others are served');

$kafka->resume;
my @records = $kafka->records($topic, count => 1 + WILLS, timeout => 30);
is(scalar @records, 1 + WILLS, 'all come when it is back');
is(keys %{ { map { $_->{key} => 1 } @records } }, 1 + WILLS, 'of each client');
ok(wait_for { $t->total('wills_waiting') == 0 }, 'none waits any more');
ok(wait_for { !$t->redis->keys('*{c:wait*') }, 'the sessions are done with');

# the same, and the worker is killed: they are with the other one then

@many = map { device("kill-$_", $first) } 1 .. WILLS;

$kafka->pause;
$_->close for @many;

ok(wait_for { $t->total('wills_waiting') > 0 }, 'wills wait once more');
ok($t->kill_worker($first), 'their worker is killed');
ok(wait_for { $t->total('wills_waiting') > 0 }, 'they wait at another one');
$kafka->resume;

@records = $kafka->records($topic, count => 1 + 2 * WILLS, timeout => 30);
is(keys %{ { map { $_->{key} => 1 } @records } }, 1 + 2 * WILLS,
   'none is lost');

# what was in Kafka's queue at that moment may have got there

cmp_ok(scalar @records, '<=', 1 + 2 * WILLS + 40, 'few are there twice')
    or diag(scalar @records);
ok(wait_for { !$t->redis->keys('*{c:kill*') }, 'the sessions are done with');

# Redis is away when the connection is lost

my $s = on($second, client_id => 'subscriber');
$s->subscribe('plain' => 1);

$c = on($second, client_id => 'redis', clean => 0,
        props => [ [ session_expiry => 10 ] ],
        will => { topic => 'plain', payload => 'x', qos => 1 });

$t->redis->pause;
$c->close;
is($s->recv_message(0.5), undef, 'Redis hangs: the will waits');
$t->redis->resume;
my $m = $s->recv_message;
is($m && $m->{payload}, 'x', 'and is published when it is back');
is($s->recv_message(0.3), undef, 'once');

# and restarts, without what it knew

$c = on($second, client_id => 'redis',
        will => { topic => 'plain', payload => 'y', qos => 1 });
$t->redis->stop;
ok(wait_for { $t->total('redis_up') == 0 }, 'Redis is stopped');
$c->close;
ok(wait_for { $t->total('clients') <= 2 }, 'the client is lost');
$t->redis->start;
$m = $s->recv_message(20);
is($m && $m->{payload}, 'y', 'its will is published');

# waiting wills do not hold a worker that has to end

ok(wait_for { $t->total('redis_up') == 2 }, 'Redis is back');
my $last = device('last', $second);
$kafka->pause;
$last->close;
ok(wait_for { $t->redis->keys('*{c:last}') }, 'a will is on its way');
ok($t->stop_fast, 'a fast stop does not wait for it');
$kafka->resume;

###############################################################################

sub on {
    my ($pid, %args) = @_;

    return client_on($t, $pid, %args);
}


sub device {
    my ($id, $pid) = @_;

    return on($pid, client_id => $id,
              will => { topic => 'wills/x', payload => $id . 'x' x SIZE,
                        qos => 1 });
}

###############################################################################
