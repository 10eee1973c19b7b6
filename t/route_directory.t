#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# The node's directory of filters: a message goes to the workers that have a
# subscription that matches, and to no others; the filters of a killed worker
# are forgotten; a full zone refuses subscriptions and nothing else.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use Test::More tests => 36;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 3, zone => '448k',
               server => 'mqtt_max_subscriptions 1024;');
$t->run;

# one client in each of the workers

my %client;

wait_for {
    my $before = counters('clients');
    my $c = $t->client(version => 5);
    my $after = counters('clients');
    my ($pid) = grep { $after->{$_} != $before->{$_} } keys %$after;

    if ($client{$pid}) {
        $c->disconnect;

        wait_for { counters('clients')->{$pid} == $before->{$pid} } 10;

    } else {
        $client{$pid} = $c;
    }

    keys %client == 3;
} 60 or BAIL_OUT('connections are not spread over the workers');

my ($from, $to, $third) = sort { $a <=> $b } keys %client;

# the third one always has something of its own; a message for it first makes
# the workers connect to each other

$client{$to}->subscribe('end' => 1);
$client{$third}->subscribe("third/$_" => 1) for 1 .. 5;
$client{$third}->subscribe('end' => 1, '$q/third' => 1);

is($t->total('directory_filters'), 8, 'filters are counted');

is(frames('nobody'), '0 0', 'nobody');

# who gets it; what does not match stays in the worker it came from

for my $case (
    [ 'a/b',   'a/b',   'a/c',    'exact' ],
    [ 'a/+',   'a/c',   'a/b/c',  'one level' ],
    [ 'a/#',   'a',     'b',      'parent of "#"' ],
    [ '+/x/#', 'y/x/z', 'y/z/x',  'a wildcard first' ],
    [ '#',     'q/r',   '$q/r',   '"#" and a "$" topic' ],
    [ '$q/+',  '$q/r',  'q/r',    'a "$" filter' ],
    [ 'l/' . 'x' x 300, 'l/' . 'x' x 300, 'l/' . 'x' x 299 . 'y', 'long' ],
) {
    my ($filter, $topic, $other, $name) = @$case;

    $client{$to}->subscribe($filter => 1);

    is(frames($topic), '1 0', "$name: matches");
    is(frames($other), '0 0', "$name: does not match");

    $client{$to}->unsubscribe($filter);

    is(frames($topic), '0 0', "$name: unsubscribed");
}

# several have it, one gives it up

$client{$_}->subscribe('all/+' => 1) for $from, $to, $third;

is(frames('all/1'), '1 1', 'all have it');

$client{$from}->unsubscribe('all/+');
$client{$to}->unsubscribe('all/+');

is(frames('all/1'), '0 1', 'only one has it');

# the filters of a killed worker go with it; its slot comes back

$t->kill_worker($third);

ok((wait_for { keys %{ counters('clients') } == 3 } 10), 'a new worker');
is($t->total('directory_filters'), 1, 'its filters are gone');

$client{$to}->subscribe('third/1' => 1);
is(frames('third/1', $to), '1', 'the other worker has one of them now');

# the zone is full: what stands stays, what goes makes room

my $many = $t->client(version => 5);
my $n = 0;
my @reasons;

until (grep({ $_ >= 0x80 } @reasons) || $n == 1000) {
    my @filters = map { filter($n + $_) => 1 } 1 .. 100;

    @reasons = @{ $many->subscribe(@filters)->{codes} };
    $n += 100;
}

is((grep { $_ >= 0x80 } @reasons)[0], 0x97, 'full: quota exceeded');
cmp_ok($t->total('directory_full'), '>', 0, 'full: counted');
ok($t->wait_log(qr/\[warn\].*zone is full, subscriptions are refused/, 10),
   'full: logged');

is($client{$to}->subscribe(filter(0) => 1)->{codes}[0], 0x97,
   'full: refused to others, too');
is(frames('third/1', $to), '1', 'full: messages go where they went');

$many->unsubscribe(filter(1));

is($client{$to}->subscribe(filter(0) => 1)->{codes}[0], 1,
   'there is room again');
is(frames(filter(0) =~ s/\+/x/r, $to), '1', 'and the message finds it');

# nobody unsubscribes for those who were killed

my $filters = counters('directory_filters');
my ($most) = sort { $filters->{$b} <=> $filters->{$a} } keys %$filters;

$t->kill_worker($most);

my $c = $t->client(version => 5);
my $room = wait_for {
    $c->subscribe(map { filter($n + $_) => 1 } 1 .. 100)->{codes}[-1] < 0x80;
} 10;

ok($room, 'killed: room for others');

###############################################################################

sub filter {
    my ($number) = @_;

    return sprintf '%08d/%s/+', $number, 'x' x 200;
}


sub counters {
    my ($counter) = @_;

    my ($gateway) = values %{ $t->status->{gateways} };

    return { map { $_->{pid} => $_->{counters}{$counter} }
             @{ $gateway->{workers} } };
}


# How many frames a message on the topic sends to the other workers.  The next
# message tells that it has arrived.

sub frames {
    my ($topic, @workers) = @_;

    @workers = ($to, $third) if !@workers;

    my $before = counters('bus_frames_in');

    $client{$from}->publish_wait($topic, 'x', qos => 1);
    $client{$from}->publish_wait('end', $topic, qos => 1);

    for my $pid (@workers) {
        while (my $m = $client{$pid}->recv_message) {
            last if $m->{topic} eq 'end';
        }
    }

    my $after = counters('bus_frames_in');

    return join ' ', map { $after->{$_} - $before->{$_} - 1 } @workers;
}
