#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Client status events by group: the topic is made of the client id.  Ids that
# no topic can be made of go to one of the configuration, or nowhere.

###############################################################################

use warnings;
use strict;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Status;
use MqttTest::Workers qw/ spread_server client_on /;
use Test::More tests => 23;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

# a topic for each group, with a name of this file

my $group = $kafka->topic('GID_cars') =~ s/\W/-/gr;
my $other = "$group.x_y-Z";
my @topics = map { "${_}_MQTT" } $group, $other;
my $rest = $kafka->topic('rest');

ok($kafka->run_tool('create', $_, 1), "topic $_") for @topics;

$t->write_conf(kafka => 1, workers => 2, servers => spread_server(),
               gateway => <<"END");
    client_status per_group kafka=$rest;
    lease_timeout 1s;
END

$t->run;

my ($first, $second) = $t->worker_pids;

client_on($t, $first, client_id => "$group\@\@\@1")->disconnect;
client_on($t, $second, client_id => "$other\@\@\@a\@\@\@b")->disconnect;

# no group, none that can be one of Kafka's; the longest name, and longer

my @rest = ('none', '@@@x', 'a@@b', 'G/x@@@1', 'G x@@@1', "G\xc3\xbc\@\@\@1",
            'x' x 245 . '@@@1');

$t->client(client_id => $_)->disconnect for @rest;

my @events = status_events($t, $topics[0], 3);
is_deeply([ map { "$_->{clientId} $_->{eventType}" } @events ],
          [ map { "$group\@\@\@1 $_" } qw/ connect disconnect tcpclean / ],
          'a group');

@events = status_events($t, $topics[1], 3);
is_deeply([ map { "$_->{clientId} $_->{eventType}" } @events ],
          [ map { "$other\@\@\@a\@\@\@b $_" }
            qw/ connect disconnect tcpclean / ],
          'another one, which ends at the first @@@');

@events = status_events($t, $rest, 3 * @rest);
is_deeply([ sort map { $_->{key} }
            grep { $_->{eventType} eq 'tcpclean' } @events ],
          [ sort @rest ], 'all others');
is($t->total('status_no_topic'), 0, 'none is left');

# whoever takes over from a dead worker

my $c = client_on($t, $first, client_id => "$group\@\@\@killed");
status_events($t, $topics[0], 4);

ok($t->kill_worker($first), 'a worker is killed');
@events = status_events($t, $topics[0], 5);
is(@events, 5, 'it is told');
is("$events[4]{clientId} $events[4]{eventType}",
   "$group\@\@\@killed tcpclean", 'in the topic of the group');
$c->close;

# a topic that does not exist is refused by Kafka, others go on

$t->client(client_id => "$group.absent\@\@\@1")->disconnect;
$t->allow_log(qr/refused \d+ record\(s\) for topic "$group\.\w+_MQTT"/);
$t->allow_log(qr/client status events .* are dropped/);

ok((wait_for { $t->total('status_dropped') >= 3 } 40),
   'a topic that does not exist: counted');
ok((wait_for { !$t->redis->keys('*{c:*') }), 'and not kept in Redis');
is($t->total('status_waiting'), 0, 'nothing waits');

# without a topic for others

$t->write_conf(kafka => 1, workers => 1, gateway => <<"END");
    client_status per_group;
    drain_rate 0;
END

ok($t->reload, 'reload');
ok((wait_for { !$t->old_worker_pids } 20), 'the old workers are gone');

my $quiet = $t->client(client_id => 'none');
is_deeply([ grep { !/^[eox]$/ } fields('none') ], [],
          'nothing of an id without a group stands in Redis');
my $loud = $t->client(client_id => "$group\@\@\@2");
is_deeply([ grep { !/^[eox]$/ } fields("$group\@\@\@2") ], [ 'a' ],
          'but of one with a group');
$_->disconnect for $quiet, $loud;

@events = status_events($t, $topics[0], 8);
is(@events, 8, 'which is told');
is($t->total('status_no_topic'), 1, 'the other one is counted');
is((() = status_events($t, $rest, 0, 1)), 3 * @rest, 'and told nowhere');

# no more groups than a worker may have

for my $n (1 .. 1010) {
    $t->client(client_id => "$group.$n\@\@\@x", version => 4)->disconnect;
}

ok((wait_for { $t->total('clients') == 0 }), 'many groups');
my $over = $t->total('status_no_topic') - 1;
ok($over >= 10 && $over <= 12, "$over have no topic");
$t->client(client_id => "$group\@\@\@3")->disconnect;
is((() = status_events($t, $topics[0], 11)), 11, 'those that are there go on');

# it takes long until librdkafka gives those up that do not exist

$t->allow_log(qr/exited on signal 9/);
ok($t->kill_hard, 'killed');

###############################################################################

sub fields {
    my ($id) = @_;

    return keys %{ { @{ $t->redis->command('HGETALL', "test:{c:$id}") } } };
}

###############################################################################
