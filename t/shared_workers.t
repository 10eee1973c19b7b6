#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# A shared subscription is one for the whole node: with members and publishers
# in any workers each message comes to one member, and to each member equally
# often.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Workers;
use Test::More tests => 9 + 7 + 4 + 4 + 6;

###############################################################################

my $t = MqttTest->new;

$t->write_conf(workers => 3, servers => spread_server());
$t->run;

my @workers = sort { $a <=> $b } $t->worker_pids;
my @publishers = map { client_on($t, $_, client_id => "p$_") } @workers;

# a member in each worker, a publisher in each

for my $to (0 .. 2) {
    my $member = client_on($t, $workers[$to]);

    $member->send(SUBSCRIBE => packet_id => 1,
                  filters => [ [ '$share/g/one/+', 1 ] ],
                  props => [ [ subscription_id => 7 ] ]);
    $member->recv;

    for my $from (0 .. 2) {
        $publishers[$from]->publish_wait("one/$_", "qos $_", qos => $_)
            for 0 .. 2;

        collect(3, member => $member);

        is_deeply([ sort map { seen($_) } splice @{ $member->{got} } ],
                  [ 'one/0 0 qos 0 7', 'one/1 1 qos 1 7', 'one/2 1 qos 2 7' ],
                  "from worker $from to worker $to");
    }

    $member->disconnect;
}

# one, two and three members

my %member;

for my $n (0 .. 2) {
    for my $m (0 .. $n) {
        $member{"$n$m"} = client_on($t, $workers[$n]);
        $member{"$n$m"}->subscribe('$share/g/#' => 1);
    }
}

for my $c (@publishers) {
    $c->publish_wait('many', "$c->{client_id} $_", qos => 1) for 1 .. 60;
}

my %got = collect(180, %member);

is(counts(%got), '00 30, 10 30, 11 30, 20 30, 21 30, 22 30',
   'each member gets as many');
is(join(' ', sort map { @$_ } values %got),
   join(' ', sort map { my $c = $_; map { "$c->{client_id} $_" } 1 .. 60 }
                  @publishers),
   'each message comes once');

# in the order of their publisher

my $order = 1;

for my $list (values %got) {
    my %last;

    for (@$list) {
        my ($from, $n) = split / /;

        $order = 0 if $n <= ($last{$from} // 0);
        $last{$from} = $n;
    }
}

ok($order, 'in order');

# some leave: by UNSUBSCRIBE, by DISCONNECT, without a word

$member{'00'}->unsubscribe('$share/g/#');
(delete $member{11})->disconnect;
(delete $member{22})->close;

ok(wait_for { $t->total('subscriptions') == 3 }, 'three are left');

$publishers[0]->publish_wait('less', $_, qos => 1) for 1 .. 30;
is(counts(collect(30, %member)), '00 0, 10 10, 20 10, 21 10',
   'the others get what they had');

# the last one of a worker comes back

$member{'00'}->subscribe('$share/g/#' => 1);

$publishers[2]->publish_wait('again', $_, qos => 1) for 1 .. 40;
is(counts(collect(40, %member)), '00 10, 10 10, 20 10, 21 10',
   'and the one that comes back');
is($t->total('directory_filters'), 3, 'a group is one filter of each worker');

$_->disconnect for values %member;
%member = ();

# groups and ordinary subscriptions beside each other

ok(wait_for { $t->total('subscriptions') == 0 }, 'all have left');

my %filters = (
    a1 => '$share/a/x/+', a2 => '$share/a/x/+',
    b1 => '$share/b/x/+', b2 => '$share/b/x/+',
    c1 => '$share/a/#',   c2 => '$share/a/#',
    o1 => 'x/+',          o2 => 'x/1',
);

for my $name (sort keys %filters) {
    $member{$name} = client_on($t, $workers[ord($name) % 2
                                            + substr($name, 1) % 2]);
    $member{$name}->subscribe($filters{$name} => 1);
}

$publishers[$_ % 3]->publish_wait('x/1', "m $_", qos => 1) for 1 .. 12;

is(counts(collect(60, %member)),
   'a1 6, a2 6, b1 6, b2 6, c1 6, c2 6, o1 12, o2 12',
   'one of each group, all of the others');

$publishers[$_ % 3]->publish_wait('y', "m $_", qos => 1) for 1 .. 4;

is(counts(collect(4, %member)),
   'a1 0, a2 0, b1 0, b2 0, c1 2, c2 2, o1 0, o2 0',
   'the filter of a group counts, not its name');

$_->disconnect for values %member;
ok(wait_for { $t->total('directory_filters') == 0 },
   'the directory is empty again');

# both kinds at one client: a copy for each shared one, with the QoS and the
# identifier of that, and one for all others

for my $from (0, 1) {
    my $c = client_on($t, $workers[0]);
    my $id = 0;

    for my $sub ([ 'both', 0 ], [ '$share/s/both', 1 ], [ '+', 2 ],
                 [ '$share/s/+', 2 ])
    {
        $c->send(SUBSCRIBE => packet_id => 1, filters => [ $sub ],
                 props => [ [ subscription_id => ++$id ] ]);
        $c->recv;
    }

    $publishers[$from]->publish_wait('both', 'x', qos => 2);
    collect(3, c => $c);

    is_deeply([ sort map { seen($_) } @{ $c->{got} } ],
              [ 'both 1 x 2', 'both 2 x 1,3', 'both 2 x 4' ],
              "both kinds at one client, from worker $from");

    is_deeply($c->unsubscribe('$share/s/both', 'both', '$share/none/both')
              ->{codes}, [ 0, 0, 0x11 ], 'unsubscribed');
    $c->disconnect;
}

# real ones

my @files = map { $t->dir . "/sub$_" } 1 .. 3;
my @subs;

for my $n (1 .. 3) {
    my $version = ('mqttv5', 'mqttv311', 'mqttv31')[$n - 1];

    push @subs, MqttTest::Util->spawn(
        command => [ 'mosquitto_sub', '-V', $version, '-p', $t->port('spread'),
                     '-q', 1, '-i', "mosquitto$n", '-t', '$share/real/m/#' ],
        log => $files[$n - 1]);
}

ok(wait_for { $t->total('subscriptions') == 3 }, 'mosquitto_sub: three');

for my $n (1 .. 30) {
    $publishers[$n % 3]->publish_wait("m/$n", "real $n", qos => 1);
}

my @lines;

ok((wait_for {
    @lines = map { [ split /\n/, MqttTest::Util::slurp($_) ] } @files;
    30 == map { @$_ } @lines;
}), 'mosquitto_sub: all messages');

is(join(' ', map { scalar @$_ } @lines), '10 10 10', 'equally');
is(join(' ', sort map { @$_ } @lines), join(' ', sort map { "real $_" }
                                                      1 .. 30),
   'each once');

$_->stop for @subs;

ok(wait_for { $t->total('subscriptions') == 0 }, 'they have left');

is(pub('nobody'), 0x10, 'and nobody is there');

###############################################################################

sub counts {
    my (%messages) = @_;

    return join ', ', map { "$_ " . @{ $messages{$_} } } sort keys %messages;
}


sub seen {
    my ($p) = @_;

    my @ids = sort map { $_->[1] } grep { $_->[0] eq 'subscription_id' }
              @{ $p->{props} };

    return "$p->{topic} $p->{qos} $p->{payload} " . join ',', @ids;
}


sub pub {
    my ($topic) = @_;

    return $publishers[0]->publish_wait("m/$topic", 'x', qos => 1)->{reason};
}

###############################################################################
