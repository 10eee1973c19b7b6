#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Client status events: who is online, as JSON in Kafka, in order for each
# client, also when it moves between workers and across a reload.

###############################################################################

use warnings;
use strict;
use utf8;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use JSON::PP ();
use Sys::Hostname qw/ hostname /;
use Test::More;

###############################################################################

my $t = MqttTest->new;
my $kafka = $t->kafka;

my $status = $kafka->topic('status', partitions => 3);

$t->write_conf(kafka => 1, workers => 2, gateway => <<"END");
    client_status kafka=$status;
    drain_rate 0;
END

$t->run;

my $from = int(time() * 1000) - 1000;

# a client that says goodbye, one that is lost, one that breaks the rules

my $id = 'GID_cars@@@vin/ü"1';
utf8::encode(my $bytes = $id);
utf8::encode(my $user = 'jörg');

my $c = $t->client(client_id => $bytes, version => 4, username => $user);
my $address = $c->{socket}->sockhost . ':' . $c->{socket}->sockport;
$c->disconnect;

$c = $t->client(client_id => 'lost');
$c->abort;

$c = $t->client(client_id => 'bad');
$c->send_raw("\0\0");
$c->recv;

$c = $t->client(client_id => 'reason');
$c->send(DISCONNECT => reason => 4);
$c->closed;

$c = $t->client(client_id => 'silent', keep_alive => 1);

my %by = wait_events(3 + 2 + 2 + 3 + 2);

is_deeply([ map { $_->{eventType} } @{ $by{$id} } ],
          [ qw/ connect disconnect tcpclean / ], 'DISCONNECT');
is_deeply([ map { $_->{eventType} } @{ $by{lost} } ],
          [ qw/ connect tcpclean / ], 'a lost connection');
is_deeply([ map { $_->{eventType} } @{ $by{bad} } ],
          [ qw/ connect tcpclean / ], 'an error');
is_deeply([ map { $_->{eventType} } @{ $by{reason} } ],
          [ qw/ connect disconnect tcpclean / ], 'DISCONNECT with a reason');
is_deeply([ map { $_->{eventType} } @{ $by{silent} } ],
          [ qw/ connect tcpclean / ], 'keep-alive');

my $e = $by{$id}[0];

is_deeply([ sort keys %$e ],
          [ sort qw/ clientId eventType time channelId clientIp epoch reason
                     username node tag / ], 'all fields');
is($e->{clientIp}, $address, 'address');
is($e->{username}, 'jörg', 'user name');
is($e->{node}, hostname(), 'node');
is($e->{reason}, '', 'no reason of a connect');
like($by{bad}[1]{reason}, qr/malformed|protocol/i, 'reason of an error');
like($by{silent}[1]{reason}, qr/keep.?alive/i, 'reason of keep-alive');
like($e->{channelId}, qr/^[0-9a-f]{32}$/, 'channel');
cmp_ok($e->{time}, '>', $from, 'time');
cmp_ok($e->{time}, '<=', time() * 1000 + 1000, 'not in the future');
is_deeply([ map { $_->{tag} } @{ $by{$id} } ],
          [ qw/ connect disconnect tcpclean / ], 'header "tag"');

for my $events (values %by) {
    my %same;

    $same{"$_->{channelId} $_->{epoch}"} = 1 for @$events;
    is(keys %same, 1, "one connection: $events->[0]{clientId}");
}

# clients that are refused, and those that never connect, are no news

$t->socket->abort;
my $refused = $t->socket(version => 5);
$refused->send(CONNECT => client_id => 'x' x 10, props =>
               [ [ auth_method => 'x' ] ]);
$refused->closed;

###############################################################################
# one client id on many connections, on both workers

my @same = map { $t->client(client_id => 'moves') } 1 .. 40;

$same[39]->expect_alive;

my $before = () = map { @$_ } values %by;

%by = wait_events($before + 40 + 39);

ordered('moves', 40, 'takeovers');

###############################################################################
# a reload: all move to new workers

my @fleet = map { $t->client(client_id => "fleet-$_") } 1 .. 20;

ok($t->reload, 'reload');
$_->recv for @fleet, $same[39];

@fleet = map { $t->client(client_id => "fleet-$_") } 1 .. 20;
ok((wait_for { !$t->old_worker_pids } 20), 'the old workers are gone');

$before = () = map { @$_ } values %by;
%by = wait_events($before + 1 + 20 * 3);

ordered("fleet-$_", 2, 'a reload') for 1 .. 20;

is($t->total('status_events'), () = (map { @$_ } values %by), 'all counted');
is($t->total('status_dropped'), 0, 'none dropped');
is($t->total('status_waiting'), 0, 'none waits');

done_testing();

###############################################################################

# all events by client id, once there are so many of them

sub wait_events {
    my ($count) = @_;

    my %by;
    my @records = $kafka->records($status, count => $count);

    is(@records, $count, "$count events");

    for my $r (@records) {
        my $event = JSON::PP->new->utf8->decode($r->{payload});

        utf8::decode(my $key = $r->{key});

        $event->{tag} = $r->{headers}[0][1];
        push @{ $by{$key} }, $event;

        die "key $key of $event->{clientId}\n" if $key ne $event->{clientId};
    }

    return %by;
}


# connects and ends take turns, epochs grow; the last connection is there

sub ordered {
    my ($id, $connections, $name) = @_;

    my @events = grep { $_->{eventType} ne 'disconnect' } @{ $by{$id} };
    my @wrong;
    my $last = 0;

    for my $n (0 .. $#events) {
        my $e = $events[$n];
        my $want = $n % 2 ? 'tcpclean' : 'connect';

        push @wrong, $n if $e->{eventType} ne $want;
        push @wrong, $n if $n % 2 ? $e->{epoch} != $last
                                  : $e->{epoch} <= $last;
        $last = $e->{epoch};
    }

    is_deeply(\@wrong, [], "$name: events of $id are in order");
    is(grep({ $_->{eventType} eq 'connect' } @events), $connections,
       "$name: $connections connections of $id");
}

###############################################################################
